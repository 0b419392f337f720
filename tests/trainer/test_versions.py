from __future__ import annotations

import importlib.metadata
import platform
import subprocess

import tensorflow as tf

from trainer import versions


def test_versions_are_those_of_what_is_imported(repository_root):
    found = versions.read_versions()
    assert found["tensorflow"] == tf.__version__
    assert found["python"] == platform.python_version()
    assert versions.version_of("no-such-package") is None
    addons = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    assert (found["tensorflow-addons"] is None) == ("tensorflow-addons" not in addons)
    head = ["git", "-C", str(repository_root), "rev-parse", "HEAD"]
    finished = subprocess.run(head, capture_output=True, text=True)
    if finished.returncode == 0:
        assert found["git_revision"].partition("-")[0] == finished.stdout.strip()
    else:
        assert found["git_revision"] is None

"""Versions of what computes."""

from __future__ import annotations

import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Dict, Optional

import kmax_tf

PACKAGES = (
    "tensorflow",
    "keras",
    "tf_keras",
    "tensorflow-addons",
    "tf-models-official",
    "numpy",
    "protobuf",
)


def read_versions() -> Dict[str, Optional[str]]:
    """Name -> version; None for what is not installed."""
    found: Dict[str, Optional[str]] = {
        "python": platform.python_version(),
        "kmax_tf": kmax_tf.__version__,
        "git_revision": _git_revision(),
    }
    for package in PACKAGES:
        found[package] = version_of(package)
    return found


def version_of(package: str) -> Optional[str]:
    """The installed version of a distribution package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> Optional[str]:
    """The commit, with `-dirty` where files differ from it."""
    root = pathlib.Path(kmax_tf.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        finished = subprocess.run(
            [
                "git",
                "-C",
                str(root),
                "describe",
                "--always",
                "--abbrev=40",
                "--exclude=*",
                "--dirty",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()

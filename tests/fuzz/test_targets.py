"""The fuzzers themselves, a few thousand cases each; `make fuzz` runs many more."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(("name", "cases"), [("fuzz_config", 2000), ("fuzz_records", 1000)])
def test_a_short_run_finds_nothing(name, cases, tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed; `make fuzz` installs it")
    finished = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{name}", f"-runs={cases}"]
        + [f"-artifact_prefix={tmp_path}/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert f"Done {cases} runs" in finished.stderr

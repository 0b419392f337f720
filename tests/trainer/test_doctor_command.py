"""`kmax doctor` as users start it: in a process of its own, with sound and broken libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from trainer import cli, doctor_command


def _start(repository_root, tmp_path, *flags, **environment):
    return subprocess.run(
        [sys.executable, "-m", "trainer.cli", "doctor", f"--model_dir={tmp_path}", *flags],
        capture_output=True,
        text=True,
        cwd=repository_root,
        env={**os.environ, **environment},
    )


def test_a_broken_tensorflow_is_named_with_what_mends_it(repository_root, tmp_path):
    shadow = tmp_path / "shadow"
    for name in ("tensorflow", "numpy", "google"):  # None of them may be needed to say so.
        (shadow / name).mkdir(parents=True)
        (shadow / name / "__init__.py").write_text("raise ImportError('libfoo.so is missing')")
    finished = _start(repository_root, tmp_path, PYTHONPATH=str(shadow))
    assert finished.returncode == 1, finished.stderr
    assert "tensorflow cannot be imported: ImportError: libfoo.so is missing." in finished.stdout
    assert "-m pip install -c " in finished.stdout
    assert finished.stdout.endswith("Training cannot work yet.\n")
    assert finished.stderr == ""


def test_where_all_is_well_training_can_work(repository_root, tmp_path):
    finished = _start(repository_root, tmp_path, "--json", KMAX_DATA=str(tmp_path / "nowhere"))
    assert finished.returncode == 0, finished.stdout
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["training_works"] is True
    problems = [finding for finding in found["findings"] if finding["problem"]]
    assert [finding["remedy"] for finding in problems] == ["unset KMAX_DATA"]


@pytest.mark.parametrize("stops", [True, False])
def test_the_exit_code_tells_whether_training_can_work(monkeypatch, capsys, stops):
    finding = doctor_command.Finding("disk", "full", "The disk is full.", "make room", stops)
    more = doctor_command.Finding("room", "little", "There is little room.", "make room")
    monkeypatch.setattr(doctor_command, "run_probe", dict)
    monkeypatch.setattr(doctor_command, "find_software", lambda probed: [finding])
    monkeypatch.setattr(doctor_command, "find_machine", lambda probed: [more])
    assert cli.main(["doctor"]) == (1 if stops else 0)
    shown = capsys.readouterr().out
    kind = "Training cannot work" if stops else "Note"
    assert f"{kind}: The disk is full.\nNote: There is little room.\n  make room\n" in shown

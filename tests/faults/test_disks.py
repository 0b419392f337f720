"""Disks that are full, gone or have lost something: what a run says, and where it goes on."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess

import pytest
import tensorflow as tf

from tests.faults.compare_runs import compare_runs
from tests.full_disk import full_disk
from trainer import summaries
from trainer.metrics_file import MetricsFile
from trainer.train_loop import TrainLoop


@contextlib.contextmanager
def _at_step(action, *, step, owner=TrainLoop, name="train"):
    """Does something before the call for the step after `step`; one call per step."""
    original = getattr(owner, name)
    calls = []

    def call(*arguments, **named):
        calls.append(1)
        if len(calls) == step + 1:
            action()
        return original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, call)
        yield


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MB at the place of the run folder, and what fills it but for some bytes."""
    folder = tmp_path / "run"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")

    def fill(left=0):
        free = shutil.disk_usage(folder).free
        with (folder / "filling").open("wb") as file:
            file.write(b"\0" * (free - left))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _sentences(captured):
    return [line for line in captured.err.splitlines() if line.startswith("kmax: ")]


def _assert_continues(run, tmp_path, *, whole="whole"):
    """The same command goes on and ends as a run that was never disturbed."""
    assert run() == 0
    different = compare_runs(tmp_path / whole, tmp_path / "run").different
    assert not [line for line in different if "metrics" in line or line.startswith("ckpt-4")]


def test_a_full_disk_ends_the_run_with_its_checkpoints_untouched(run, tmp_path, capfd, small_disk):
    newest = str(tmp_path / "run" / "ckpt-2")
    with _at_step(small_disk, step=3, owner=tf.train.CheckpointManager, name="save"):
        assert run() == 1
    sentence = _sentences(capfd.readouterr())[-1]
    assert "run/ckpt-3 cannot be written: No space left on device. The run stopped" in sentence
    assert "continues from the newest of them" in sentence
    assert tf.train.latest_checkpoint(str(tmp_path / "run")) == newest
    # Still full: nothing is damaged by another try, which again ends in a sentence.
    assert run() == 1
    assert "No space left on device" in _sentences(capfd.readouterr())[-1]
    assert tf.train.latest_checkpoint(str(tmp_path / "run")) == newest
    (tmp_path / "run" / "filling").unlink()
    assert run(folder="whole") == 0
    _assert_continues(run, tmp_path)


@pytest.mark.parametrize(
    ("owner", "name", "file"),
    [(MetricsFile, "append", "metrics.jsonl"), (summaries, "write_scalars", "train")],
)
def test_numbers_that_cannot_be_written_end_the_run(run, tmp_path, capfd, owner, name, file):
    original = getattr(owner, name)
    calls = []

    def write(*arguments):
        calls.append(1)
        with full_disk(100) if len(calls) == 3 else contextlib.nullcontext():
            original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, write)
        assert run("--mode=train") == 1
    (sentence,) = _sentences(capfd.readouterr())
    assert f"run/{file} cannot be written: File too large. The run stopped" in sentence
    assert run(folder="whole") == 0
    _assert_continues(run, tmp_path)


def test_a_folder_that_vanishes_is_named_and_not_made_anew(run, tmp_path, capfd):
    folder = tmp_path / "run"
    with _at_step(lambda: shutil.move(folder, tmp_path / "away"), step=2):
        assert run("--mode=train") == 1
    (sentence,) = _sentences(capfd.readouterr())
    assert f"{folder}/metrics.jsonl cannot be written: No such file or directory." in sentence
    assert not folder.exists()
    shutil.move(tmp_path / "away", folder)
    assert run(folder="whole") == 0
    _assert_continues(run, tmp_path)


def _cut(path: pathlib.Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_newest_checkpoint_is_left_out(run, tmp_path, capfd):
    assert run(folder="whole") == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    _cut(tmp_path / "run" / "ckpt-4.data-00000-of-00001")
    capfd.readouterr()
    assert run("--mode=eval") == 2
    assert "is damaged (ckpt-4: " in _sentences(capfd.readouterr())[-1]
    _assert_continues(run, tmp_path)
    shown = capfd.readouterr().out
    assert "Warning: " in shown and "ckpt-4 is damaged (" in shown
    assert f"Continuing from {tmp_path}/run/ckpt-3." in shown
    assert (tmp_path / "run" / "damaged-ckpt-4.index").exists()


def test_where_all_checkpoints_are_damaged_nothing_begins_anew(run, tmp_path, capfd):
    assert run("--mode=train", steps=3) == 0
    for path in (tmp_path / "run").glob("ckpt-*.data-*"):
        _cut(path)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert run() == 2
    (sentence,) = _sentences(capfd.readouterr())
    assert "ckpt-3: " in sentence and "ckpt-2: " in sentence and "to start anew" in sentence
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_a_garbled_list_of_checkpoints_is_made_again(run, tmp_path, capfd):
    assert run(folder="whole") == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    for path in (tmp_path / "run").glob("ckpt-4.*"):
        path.unlink()
    (tmp_path / "run" / "checkpoint").write_bytes(b"\0garbage")
    _assert_continues(run, tmp_path)
    assert "continuing from ckpt-3, the newest that is sound" in capfd.readouterr().out

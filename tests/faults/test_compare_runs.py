from __future__ import annotations

import shutil

import pytest
import tensorflow as tf

from tests.faults.compare_runs import compare_runs


@pytest.fixture
def runs(tmp_path):
    """A folder like that of a run, and a copy of it."""
    folder = tmp_path / "expected"
    for part in ("", "best"):
        weights = tf.Variable([0.0, -1.5])
        checkpoint = tf.train.Checkpoint(weights=weights)
        manager = tf.train.CheckpointManager(checkpoint, folder / part, 2, checkpoint_name="ckpt")
        for step in (1, 2):
            manager.save(step)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    writer = tf.summary.create_file_writer(str(folder / "train"))
    with writer.as_default(step=1):
        tf.summary.scalar("loss", 2.0)
        tf.summary.scalar("images_per_second", 7.0)
    writer.close()
    shutil.copytree(folder, tmp_path / "actual")
    return folder, tmp_path / "actual"


def _write_events(folder, **values):
    writer = tf.summary.create_file_writer(str(folder / "train"), filename_suffix=".second")
    with writer.as_default(step=1):
        for name, value in values.items():
            tf.summary.scalar(name, value)
    writer.close()


def _save(folder, values, step=2):
    checkpoint = tf.train.Checkpoint(weights=tf.Variable(values))
    checkpoint.save_counter.assign(step)
    checkpoint.write(str(folder / f"ckpt-{step}"))


def test_a_copy_is_equal(runs):
    found = compare_runs(*runs)
    assert found.different == []
    assert found.equal == [
        "ckpt-1: all 2 tensors",
        "ckpt-2: all 2 tensors",
        "best/ckpt-1: all 2 tensors",
        "best/ckpt-2: all 2 tensors",
        "metrics.jsonl",
        "TensorBoard train/: all 2 values, but for the speed",
        "TensorBoard eval/: all 0 values, but for the speed",
    ]


def test_every_bit_of_a_tensor_counts(runs):
    _save(runs[1], [0.0, -1.5])
    assert compare_runs(*runs).different == []
    _save(runs[1], [-0.0, -1.5])  # equal as a number
    (line,) = compare_runs(*runs).different
    assert line == "ckpt-2: 1 tensors, weights/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda f: (f / "metrics.jsonl").write_text('{"step": 1} \n'), "metrics.jsonl"),
        (lambda f: (f / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
        (lambda f: (f / "best/ckpt-1.index").unlink(), "best/ckpt-1 is missing"),
        (lambda f: (f / "new.txt").write_text(""), "new.txt was left over"),
        (lambda f: _write_events(f, loss=2.5), "TensorBoard train/: 1 unequal, first ('loss', 1)"),
        (lambda f: _write_events(f, more=1.0), "TensorBoard train/: 1 more, first ('more', 1)"),
        (lambda f: shutil.rmtree(f / "train"), "TensorBoard train/: 2 lost, first"),
    ],
)
def test_what_differs_is_named(runs, damage, line):
    damage(runs[1])
    assert any(found.startswith(line) for found in compare_runs(*runs).different)


def test_repeated_steps_and_other_speeds_are_no_difference(runs):
    _write_events(runs[1], loss=2.0, images_per_second=3.0)
    found = compare_runs(*runs)
    assert found.different == []
    assert (
        "TensorBoard train/: 2 files, 2 repeated values (lost steps, done again)" in found.remarks
    )

from __future__ import annotations

import pytest
import tensorflow as tf

from trainer.output_folder import open_output_folder


class _Told:
    """A worker, and what the chief tells it."""

    def __init__(self, index, told=None, count=2):
        self.index, self.count, self.told = index, count, told
        self.is_chief = index == 0

    def from_chief(self, text):
        self.said = text
        return text if self.told is None else self.told


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "run"
    value = tf.Variable(0.0)
    for name, keep in ((folder, 2), (folder / "best", 1)):
        checkpoint = tf.train.Checkpoint(value=value)
        manager = tf.train.CheckpointManager(checkpoint, name, keep, checkpoint_name="ckpt")
        for step in (1, 2, 3):
            value.assign(step)
            manager.save(step)
    (folder / "metrics.jsonl").write_text("{}")
    (folder / "ckpt-4_temp").mkdir()
    return folder


def _files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_alone_and_as_the_chief_it_is_the_run_folder(model_dir):
    for workers in (_Told(0, count=1), _Told(0)):
        with open_output_folder(model_dir, workers) as folder:
            assert folder == model_dir


def test_other_workers_continue_from_the_same_checkpoint_and_leave_no_trace(model_dir):
    before = _files(model_dir)
    chief = _Told(0)
    with open_output_folder(model_dir, chief):
        pass
    with open_output_folder(model_dir, _Told(1, chief.said)) as folder:
        assert _files(folder) == before - {"metrics.jsonl"}
        value = tf.Variable(0.0)
        checkpoint = tf.train.Checkpoint(value=value)
        manager = tf.train.CheckpointManager(checkpoint, folder, 2, checkpoint_name="ckpt")
        manager.restore_or_initialize()
        assert value.numpy() == 3.0
        for step in (4, 5, 6):  # Every old one is removed in its turn.
            value.assign(step)
            manager.save(step)
        assert {path.name for path in folder.glob("*.index")} == {"ckpt-5.index", "ckpt-6.index"}
    assert not folder.exists()
    assert _files(model_dir) == before
    value.assign(0.0)
    checkpoint.restore(tf.train.latest_checkpoint(str(model_dir)))
    assert value.numpy() == 3.0


def test_a_folder_that_is_not_shared_is_refused(model_dir, tmp_path):
    chief = _Told(0)
    with open_output_folder(model_dir, chief):
        pass
    other = tmp_path / "other"
    expected = pytest.raises(ValueError, match=r"worker 1 does not find ckpt-2.data.*the chief")
    with expected, open_output_folder(other, _Told(1, chief.said)):
        pass

from __future__ import annotations

import os
import shutil
import signal

import pytest
import tensorflow as tf

from tests.full_disk import full_disk
from trainer.interrupts import Interrupts
from trainer.safe_manager import SafeManager
from trainer.user_errors import StorageError, Terminated


def _manager(folder, variable, **options):
    return SafeManager(
        tf.train.Checkpoint(v=variable),
        str(folder),
        run_folder=str(folder),
        max_to_keep=2,
        checkpoint_name="ckpt",
        **options,
    )


def test_a_signal_waits_until_all_is_written(tmp_path, monkeypatch):
    variable = tf.Variable(1.0)
    with Interrupts() as interrupts:
        manager = _manager(tmp_path, variable, undisturbed=interrupts.postponed)
        original = manager._record_state

        def signalled():
            os.kill(os.getpid(), signal.SIGTERM)
            original()

        monkeypatch.setattr(manager, "_record_state", signalled)
        with pytest.raises(Terminated):
            manager.save(3)
    assert manager.latest_checkpoint == str(tmp_path / "ckpt-3")
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-3")
    assert tf.train.load_variable(str(tmp_path), "v/.ATTRIBUTES/VARIABLE_VALUE") == 1.0


def test_a_folder_that_has_gone_is_not_made_anew(tmp_path):
    folder = tmp_path / "run"
    manager = _manager(folder, tf.Variable(1.0))
    folder.mkdir()
    manager.save(1)
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="no longer there"):
        manager.save(2)
    assert not folder.exists()


def test_a_save_that_fails_leaves_the_checkpoints_before(tmp_path):
    variable = tf.Variable(tf.range(100_000))
    manager = _manager(tmp_path, variable)
    manager.save(1)
    state = (tmp_path / "checkpoint").read_text()
    variable.assign(variable + 1)
    with full_disk(1000), pytest.raises(StorageError, match="ckpt-2 cannot be written: File"):
        manager.save(2)
    assert (tmp_path / "checkpoint").read_text() == state
    assert not (tmp_path / "ckpt-2.index").exists()
    saved = tf.train.load_variable(str(tmp_path), "v/.ATTRIBUTES/VARIABLE_VALUE")
    assert saved.tolist() == list(range(100_000))
    manager.save(2)
    assert tf.train.load_variable(str(tmp_path), "v/.ATTRIBUTES/VARIABLE_VALUE")[0] == 1

from __future__ import annotations

import os
import subprocess
import sys

import tensorflow as tf

from trainer.leftovers import remove_leftovers

# Dies where the files of a checkpoint get their names, and where the list of checkpoints does.
_KILLED = """
import os, signal, sys
import tensorflow as tf
from tensorflow.python.lib.io import file_io
folder, place = sys.argv[1:]
die = lambda *unused, **named: os.kill(os.getpid(), signal.SIGKILL)
if place == "parts":
    from tensorflow.python.ops import gen_io_ops
    gen_io_ops.merge_v2_checkpoints = die
else:
    file_io.rename = file_io.rename_v2 = die
checkpoint = tf.train.Checkpoint(weights=tf.Variable(tf.ones([1000])))
tf.train.CheckpointManager(checkpoint, folder, max_to_keep=2, checkpoint_name="ckpt").save(2)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    checkpoint = tf.train.Checkpoint(weights=tf.Variable([1.0]))
    manager = tf.train.CheckpointManager(checkpoint, tmp_path, 2, checkpoint_name="ckpt")
    manager.save(1)
    before = sorted(os.listdir(tmp_path))
    for place in ("state", "parts"):
        killed = [sys.executable, "-c", _KILLED, str(tmp_path), place]
        assert subprocess.run(killed, capture_output=True).returncode == -9
    left = set(os.listdir(tmp_path)) - set(before)
    assert "ckpt-2_temp" in left
    assert any(name.startswith("checkpoint.tmp") for name in left)
    remove_leftovers(tmp_path)
    for name in ("ckpt-2.index", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).unlink()  # A whole checkpoint that is not in the list; it stays.
    assert sorted(os.listdir(tmp_path)) == before
    assert tf.train.latest_checkpoint(str(tmp_path)).endswith("ckpt-1")


def test_a_folder_that_is_not_there_has_none(tmp_path):
    remove_leftovers(tmp_path / "nowhere")

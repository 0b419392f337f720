from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.unfinished_loop import UnfinishedLoop

NAMES = ("loss/total", "gradient_norm")


def test_a_loop_goes_on_in_another_process_with_the_same_bits(tmp_path):
    sums = np.array([1 / 3, 1e-38], np.float32)
    loop = UnfinishedLoop()
    loop.keep(4, NAMES, sums)
    path = tf.train.Checkpoint(loop=loop).write(str(tmp_path / "ckpt"))
    restored = UnfinishedLoop()
    tf.train.Checkpoint(loop=restored).read(path).assert_consumed()
    first, found = restored.begin(6, NAMES)
    assert first == 4
    assert found.dtype == np.float32 and found.tobytes() == sums.tobytes()


def test_without_a_loop_that_was_cut_off_one_begins():
    loop = UnfinishedLoop()
    first, sums = loop.begin(6, NAMES)
    assert (first, sums.shape, sums.dtype) == (6, (0,), np.float32)
    loop.keep(4, NAMES, np.ones(2, np.float32))
    loop.clear()
    first, sums = loop.begin(6, NAMES)
    assert (first, sums.shape) == (6, (0,))


def test_sums_of_other_values_are_not_used():
    loop = UnfinishedLoop()
    loop.keep(4, NAMES, np.ones(2, np.float32))
    for names in (NAMES[:1], NAMES[::-1], (*NAMES, "loss_scale")):
        first, sums = loop.begin(6, names)
        assert (first, sums.shape) == (6, (0,))

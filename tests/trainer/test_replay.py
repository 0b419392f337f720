"""The search for the first tensor that is not finite; the rest is in `test_replay_command.py`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.trainer import toy
from trainer.replay import _all_finite, _watched_layers


def test_layers_are_watched_while_the_context_is_open_only():
    model = toy.ToyModel()
    images = tf.ones([2, 2, 2, 3])
    expected = model(images, training=False)
    with _watched_layers(model) as found:
        np.testing.assert_array_equal(model(images, training=False), expected)
        assert found == []
        model.head.kernel.assign(model.head.kernel * np.inf)
        model(images, training=False)
        assert found == ["head"]  # The norm only hands it on.
        model(images * np.nan, training=False)
        assert found == ["head"]  # No layer's fault.
    model(images, training=False)
    assert found == ["head"]


def test_finite_is_told_for_nested_values_of_any_type():
    assert _all_finite({"a": [tf.constant(3e38), tf.constant(True)], "b": (None, 1)})
    for value in (np.nan, np.inf, -np.inf):
        assert not _all_finite([tf.constant([1.0, value])])
    assert not _all_finite(tf.cast([1e30], tf.bfloat16) * tf.cast([1e30], tf.bfloat16))

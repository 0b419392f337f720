from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses.slot_softmax import slot_statistics

SLOT = tf.constant([[0, 2, -1, 1, -1, 2]])
IS_VOID = tf.constant([[False, False, True, False, False, False]])  # Pixel 4 is crowd.
WEIGHT = tf.constant([[0.3, -0.2, 0.9, 0.5, 0.0, 0.7]])


def by_the_book(logits):
    """The same by automatic differentiation."""
    own = tf.gather(tf.nn.log_softmax(logits), tf.maximum(SLOT, 0), batch_dims=2)
    labelled = tf.cast(SLOT >= 0, tf.float32)
    area = tf.reduce_sum(tf.nn.softmax(logits) * labelled[..., tf.newaxis], axis=1)
    return own * labelled, area


def scalar(log_probability, area):
    return tf.reduce_sum(WEIGHT * log_probability) + tf.reduce_sum([0.4, -1.0, 2.0] * area**2)


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_values_and_gradient(scale):
    logits = tf.random.stateless_normal([1, 6, 3], [1, 2]) * scale
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        actual = slot_statistics(logits, tf.nn.softmax(logits), SLOT, IS_VOID)
        expected = by_the_book(logits)
        actual_scalar, expected_scalar = scalar(*actual), scalar(*expected)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    gradient = tape.gradient(actual_scalar, logits)
    np.testing.assert_allclose(gradient, tape.gradient(expected_scalar, logits), atol=1e-5)


def test_crowd_is_pushed_down_by_its_probability():
    logits = tf.random.stateless_normal([1, 6, 3], [1, 2])
    probability = tf.nn.softmax(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_probability, _ = slot_statistics(logits, probability, SLOT, IS_VOID)
        loss = -tf.reduce_sum(log_probability)
    gradient = tape.gradient(loss, logits)
    np.testing.assert_allclose(gradient[0, 4], probability[0, 4], rtol=1e-6)
    np.testing.assert_array_equal(gradient[0, 2], np.zeros(3))

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses.cross_entropy import class_loss, class_targets, mean_of_nonzero, top_k_mean


def test_mean_counts_only_what_is_not_zero():
    losses = tf.constant([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(mean_of_nonzero(losses), [2.0, 0.0])


def test_mean_of_nothing_has_no_gradient():
    losses = tf.zeros([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(losses)
        mean = mean_of_nonzero(losses)
    np.testing.assert_array_equal(tape.gradient(mean, losses), np.zeros([1, 3]))


@pytest.mark.parametrize(
    ("fraction", "expected"),
    # 5 values: 0.3 keeps round(1.5) = 2, 0.5 keeps round(2.5) = 2 (half to even), 0.9 keeps 4.
    [(0.3, 4.5), (0.5, 4.5), (0.9, 4.0), (1.0, 4.0), (0.0, 0.0)],
)
def test_top_k_keeps_a_rounded_fraction(fraction, expected):
    np.testing.assert_allclose(
        top_k_mean(tf.constant([[4.0, 0.0, 5.0, 3.0, 0.0]]), fraction), [expected]
    )


def test_class_targets_and_loss():
    # Slot 0 holds segment 1 (channel 2), slot 1 none.
    targets = class_targets(
        tf.constant([[1, -1]]),
        tf.constant([[0, 2]]),
        tf.constant([[0.9, 0.4]]),
        tf.constant([[0.7, 0.0]]),
        num_classes=3,
    )
    np.testing.assert_array_equal(targets.channel, [[2, 3]])
    np.testing.assert_allclose(targets.weight, [[0.75 * 0.4, 0.25 * 1e-5]], rtol=1e-6)
    probability = np.array([[0.1, 0.2, 0.5, 0.2], [0.1, 0.1, 0.1, 0.7]], np.float32)
    loss = class_loss(tf.math.log(tf.constant(probability))[tf.newaxis, tf.newaxis], targets)
    expected = (0.3 * -np.log(0.5) + 0.25e-5 * -np.log(0.7)) / 2
    np.testing.assert_allclose(loss, [[expected]], rtol=1e-5)

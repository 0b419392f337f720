from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.losses.semantic import semantic_loss


def test_ignored_pixels_and_weights():
    probability = tf.constant([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]])
    labels, weight = tf.constant([[0, 1, 255, 0]]), tf.constant([[1.0, 3.0, 1.0, 1.0]])

    def loss(fraction):
        return semantic_loss(
            tf.math.log(probability), labels, weight, ignore_label=255, top_k_fraction=fraction
        )

    losses = [np.log(2), 3 * np.log(10), -np.log(0.7)]
    np.testing.assert_allclose(loss(1.0), [np.mean(losses)], rtol=1e-6)
    np.testing.assert_allclose(loss(0.5), [np.mean(losses[:2])], rtol=1e-6)


def test_nothing_but_void():
    logits = tf.zeros([1, 4, 3])
    labels = tf.zeros([1, 4], tf.int32)
    loss = semantic_loss(logits, labels, tf.ones([1, 4]), ignore_label=0, top_k_fraction=1.0)
    np.testing.assert_array_equal(loss, [0.0])

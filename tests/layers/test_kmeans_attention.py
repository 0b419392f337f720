from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.layers.kmeans_attention import KMeansAttention
from tests.testing import NORM, random_tensor, run_layer_test


def test_layer():
    run_layer_test(
        KMeansAttention,
        {"norm": NORM},
        [random_tensor(2, 3, 4, 5), random_tensor(2, 3, 4, 6, seed=1)],
        expected_shapes=[(2, 5, 6), (2, 3, 4)],
        expected_weights=4,
    )


def test_sums_the_values_of_each_slot():
    # Pixels of a 2x2 map choose slots 0, 2, 2 and, on a tie of 0 and 1, the first.
    logits = tf.constant([[[[3.0, 1, 2], [0, 1, 4]], [[0, 0, 1], [5, 5, 0]]]])
    values = tf.constant([[[[1.0, 10], [2, 20]], [[3, 30], [4, 40]]]])
    update, assignment = KMeansAttention(norm=NORM)(logits, values)
    np.testing.assert_array_equal(assignment, [[[0, 2], [2, 0]]])
    expected = np.array([[[5, 50], [0, 0], [5, 50]]]) / np.sqrt(1.0 + NORM.epsilon)
    np.testing.assert_allclose(update, expected, rtol=1e-5)


def test_no_gradient_reaches_the_logits():
    logits, values = random_tensor(1, 2, 2, 3), random_tensor(1, 2, 2, 4)
    layer = KMeansAttention(norm=NORM)
    with tf.GradientTape() as tape:
        tape.watch([logits, values])
        loss = tf.reduce_sum(layer(logits, values)[0])
    slopes = tape.gradient(loss, [logits, values])
    assert slopes[0] is None
    assert np.abs(slopes[1]).sum() > 0

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.positional_encoding import RelativePositions


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_rows_follow_the_distance_from_query_to_key(length):
    layer = RelativePositions(2, max_distance=2)
    table = layer(length).numpy()
    embeddings = layer.embeddings.numpy()
    assert embeddings.shape == (5, 2)
    assert table.shape == (length, length, 2)
    for query in range(length):
        for key in range(length):
            row = min(max(key - query, -2), 2) + 2
            np.testing.assert_array_equal(table[query, key], embeddings[row])


def test_dynamic_length_and_dense_gradient():
    layer = RelativePositions(2, max_distance=4)
    expected = layer(3)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def gradient(length):
        with tf.GradientTape() as tape:
            table = layer(length)
            loss = tf.reduce_sum(table)
        return table, tape.gradient(loss, layer.embeddings)

    table, slope = gradient(tf.constant(3))
    np.testing.assert_array_equal(table, expected)
    np.testing.assert_array_equal(slope[:, 0], [0, 0, 1, 2, 3, 2, 1, 0, 0])
    assert RelativePositions.from_config(layer.get_config()).max_distance == 4

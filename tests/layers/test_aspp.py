from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.aspp import ASPP
from kmax_tf.shapes import resize_bilinear
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {
    "channels": 4,
    "atrous_rates": (1, 2, 3),
    "dropout_rate": 0.0,
    "norm": NORM,
    "activation": "gelu",
}


def test_layer():
    layer = run_layer_test(
        ASPP,
        CONFIG,
        [random_tensor(2, 5, 4, 3)],
        expected_shapes=[(2, 5, 4, 4)],
        expected_weights=30,
    )
    assert layer.projection.kernel.shape == (1, 1, 20, 4)
    assert [branch.dilation for branch in layer.atrous] == [1, 2, 3]


def test_dropout_only_in_training():
    layer = ASPP(**{**CONFIG, "dropout_rate": 0.5})
    inputs = random_tensor(2, 9, 9, 3)
    # A strongly negative input of gelu is an exact zero, too; but those are few.
    assert np.mean(layer(inputs) == 0.0) < 0.05
    dropped = np.mean(layer(inputs, training=True) == 0.0)
    assert 0.35 < dropped < 0.65
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(dynamic(inputs), layer(inputs), atol=1e-5)


@pytest.mark.parametrize("window", [(3, 2), (5, 2), (2, 9), (1, 1), (5, 4), (9, 9)])
def test_sliding_mean(window):
    inputs = random_tensor(2, 5, 4, 3)
    layer = ASPP(**CONFIG, pooling_window=window)
    height, width = min(window[0], 5), min(window[1], 4)
    expected = [
        [np.mean(inputs[:, i : i + height, j : j + width], (1, 2)) for j in range(4 - width + 1)]
        for i in range(5 - height + 1)
    ]
    expected = np.transpose(expected, (2, 0, 1, 3))
    np.testing.assert_allclose(layer._pool(inputs), expected, atol=1e-6)


def test_window_of_the_whole_map_or_more_changes_nothing():
    inputs = random_tensor(2, 5, 4, 3)
    whole = ASPP(**CONFIG)
    expected = whole(inputs)
    for window in ((5, 4), (9, 4)):
        layer = ASPP(**CONFIG, pooling_window=window)
        layer(inputs)
        layer.set_weights(whole.get_weights())
        np.testing.assert_array_equal(layer(inputs), expected)


def test_window_within_the_map():
    inputs = random_tensor(2, 5, 4, 3)
    layer = run_layer_test(
        ASPP,
        {**CONFIG, "pooling_window": (3, 2)},
        [inputs],
        expected_shapes=[(2, 5, 4, 4)],
        expected_weights=30,
    )
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(dynamic(inputs), layer(inputs), atol=1e-5)
    smaller = inputs[:, :3, :2]
    np.testing.assert_allclose(dynamic(smaller), layer(smaller), atol=1e-5)
    # The pooled branch, the last of five, is the resized sliding mean.
    pooled = resize_bilinear(layer.pooled(layer._pool(inputs)), (5, 4))
    branches = [layer.pointwise(inputs)] + [branch(inputs) for branch in layer.atrous] + [pooled]
    np.testing.assert_allclose(layer(inputs), layer.projection(tf.concat(branches, -1)), atol=1e-5)

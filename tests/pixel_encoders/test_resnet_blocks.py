from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.pixel_encoders.resnet_blocks import BasicBlock, BottleneckBlock
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {"width": 3, "strides": 1, "activation": "relu", "drop_path_keep_prob": 0.8, "norm": NORM}


@pytest.mark.parametrize(
    ("channels", "config", "size", "weights"),
    [
        (12, {}, 5, 15),
        (12, {"strides": 2}, 3, 15),
        (5, {"strides": 2, "activation": "gelu"}, 3, 20),
        (5, {"dilation": 2}, 5, 20),
    ],
)
def test_block(channels, config, size, weights):
    run_layer_test(
        BottleneckBlock,
        {**CONFIG, **config},
        [random_tensor(2, 5, 5, channels)],
        expected_shapes=[(2, size, size, 12)],
        expected_weights=weights,
    )


@pytest.mark.parametrize("strides", [1, 2])
def test_fresh_block_is_its_activated_shortcut(strides):
    inputs = random_tensor(2, 5, 5, 12)
    block = BottleneckBlock(**{**CONFIG, "strides": strides})
    expected = tf.nn.relu(inputs)[:, ::strides, ::strides]
    np.testing.assert_allclose(block(inputs), expected)
    assert block.conv2.strides == strides


@pytest.mark.parametrize(
    ("channels", "strides", "size", "weights"), [(3, 1, 5, 10), (3, 2, 3, 10), (5, 2, 3, 15)]
)
def test_basic_block(channels, strides, size, weights):
    block = run_layer_test(
        BasicBlock,
        {**CONFIG, "strides": strides},
        [random_tensor(2, 5, 5, channels)],
        expected_shapes=[(2, size, size, 3)],
        expected_weights=weights,
    )
    assert block.conv1.kernel.shape == (3, 3, channels, 3)
    assert block.last_conv.kernel.shape == (3, 3, 3, 3)


def test_fresh_basic_block_is_its_activated_shortcut():
    inputs = random_tensor(2, 5, 5, 3)
    np.testing.assert_allclose(BasicBlock(**CONFIG)(inputs), tf.nn.relu(inputs))

from __future__ import annotations

import numpy as np
import scipy.special
import tensorflow as tf

from kmax_tf.pixel_encoders.convnext_blocks import ConvNeXtBlock, DepthwiseConv, PatchConv
from tests.testing import random_tensor, run_layer_test


def test_patch_conv_is_a_product_per_patch():
    inputs = random_tensor(2, 5, 8, 3)
    conv = run_layer_test(
        PatchConv,
        {"channels": 7, "size": 4, "padding": (1, 2)},
        [inputs],
        expected_shapes=[(2, 2, 2, 7)],
        expected_weights=2,
        has_training=False,
    )
    conv.bias.assign(tf.range(7.0))
    padded = np.pad(inputs, [[0, 0], [1, 2], [1, 2], [0, 0]])
    patch = padded[1, 4:8, 0:4].reshape(-1)
    expected = patch @ conv.kernel.numpy().reshape(48, 7) + np.arange(7)
    np.testing.assert_allclose(conv(inputs)[1, 1, 0], expected, rtol=1e-5, atol=1e-6)


def test_depthwise_conv_keeps_channels_apart():
    inputs = random_tensor(2, 5, 4, 3)
    conv = run_layer_test(
        DepthwiseConv,
        {"size": 3},
        [inputs],
        expected_shapes=[(2, 5, 4, 3)],
        expected_weights=2,
        has_training=False,
    )
    assert conv.kernel.shape == (3, 3, 1, 3)
    conv.bias.assign([1.0, 2.0, 3.0])
    padded = np.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    expected = np.sum(padded[1, 4:7, 0:3] * conv.kernel[:, :, 0], (0, 1)) + [1.0, 2.0, 3.0]
    np.testing.assert_allclose(conv(inputs)[1, 4, 0], expected, rtol=1e-5, atol=1e-6)


def test_block():
    inputs = random_tensor(2, 3, 5, 4)
    block = run_layer_test(
        ConvNeXtBlock,
        {"drop_path_keep_prob": 0.8},
        [inputs],
        expected_shapes=[(2, 3, 5, 4)],
        expected_weights=9,
    )
    # A fresh block hardly changes its input.
    np.testing.assert_allclose(block(inputs), inputs, atol=1e-4)
    block.layer_scale.assign([[[[1.0, 2.0, 3.0, 4.0]]]])
    for variable in block.trainable_variables:
        if variable is not block.layer_scale:
            variable.assign(random_tensor(*variable.shape, seed=variable.shape[-1]))
    rows = block.depthwise(inputs).numpy()
    deviation = np.sqrt(rows.var(-1, keepdims=True) + 1e-6)
    rows = (rows - rows.mean(-1, keepdims=True)) / deviation
    rows = rows * block.norm.gamma.numpy() + block.norm.beta.numpy()
    hidden = rows @ block.expand.kernel.numpy() + block.expand.bias.numpy()
    hidden = hidden * scipy.special.ndtr(hidden)
    expected = hidden @ block.project.kernel.numpy() + block.project.bias.numpy()
    expected = inputs + expected * [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-4, atol=1e-4)
    block.drop_path.keep_prob = 1.0
    np.testing.assert_allclose(block(inputs, training=True), expected, rtol=1e-4, atol=1e-4)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm, DepthwiseConvNorm, LinearNorm, SeparableConvNorm
from tests.testing import NORM, random_tensor, run_layer_test

# Inference of a fresh batch norm.
SHRINK = 1.0 / np.sqrt(1.0 + NORM.epsilon)


@pytest.mark.parametrize(
    "config",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "strides": 2},
        {"kernel_size": 3, "dilation": 2, "activation": "gelu"},
        {"kernel_size": 3, "strides": 2, "activation": "relu", "gamma": 0.5},
    ],
)
def test_convolution(config):
    size = 3 if config.get("strides") == 2 else 5
    run_layer_test(
        ConvNorm,
        {"channels": 6, "norm": NORM, **config},
        [random_tensor(2, 5, 5, 3)],
        expected_shapes=[(2, size, size, 6)],
        expected_weights=5,
    )


def test_convolution_with_bias():
    layer = run_layer_test(
        ConvNorm,
        {"channels": 6, "norm": None, "kernel_std": 0.01},
        [random_tensor(2, 5, 4, 3)],
        expected_shapes=[(2, 5, 4, 6)],
        expected_weights=2,
    )
    assert layer.kernel.shape == (1, 1, 3, 6)
    assert [w.name.split("/")[-1] for w in layer.weights] == ["kernel:0", "bias:0"]


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 9), (2, 1)])
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_strided_convolution_pads_symmetrically(size, kernel_size):
    inputs = random_tensor(1, *size, 2)
    layer = ConvNorm(4, kernel_size=kernel_size, strides=2, norm=NORM)
    side = [kernel_size // 2] * 2
    outputs = layer(inputs)
    padded = tf.pad(inputs, [[0, 0], side, side, [0, 0]])
    expected = tf.nn.conv2d(padded, layer.kernel, 2, "VALID") * SHRINK
    assert outputs.shape == (1, (size[0] + 1) // 2, (size[1] + 1) // 2, 4)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 2])])
    np.testing.assert_allclose(dynamic(inputs), expected, atol=1e-5)


def test_pointwise_convolution_is_a_convolution():
    inputs = random_tensor(2, 3, 4, 5)
    layer = ConvNorm(6, norm=NORM)
    outputs = layer(inputs)
    expected = tf.nn.conv2d(inputs, layer.kernel, 1, "SAME") * SHRINK
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "dilation", "taps"),
    [
        ((9, 9), 12, (1, 1)),
        ((9, 20), 12, (1, 3)),
        ((13, 12), 12, (3, 1)),
        ((13, 13), 12, (3, 3)),
        ((5, 2), 2, (5, 1)),
        ((4, 3), 2, (3, 3)),
    ],
)
def test_taps_that_see_only_padding_are_left_out(size, dilation, taps):
    inputs = random_tensor(1, *size, 2)
    layer = ConvNorm(4, kernel_size=5 if dilation == 2 else 3, dilation=dilation, norm=NORM)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        expected = tf.nn.conv2d(inputs, layer.kernel, 1, "SAME", dilations=dilation) * SHRINK
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for source in (inputs, layer.kernel):
        gradients = [tape.gradient(value, source) for value in (outputs, expected)]
        np.testing.assert_allclose(*gradients, atol=1e-5)
    assert layer._kernel_inside(inputs.shape[1:3]).shape == (*taps, 2, 4)
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 2])])
    np.testing.assert_allclose(dynamic(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3)])
def test_linear(shape):
    layer = run_layer_test(
        LinearNorm,
        {"channels": 6, "norm": NORM, "activation": "gelu"},
        [random_tensor(*shape)],
        expected_shapes=[(*shape[:-1], 6)],
        expected_weights=5,
    )
    assert layer.kernel.shape == (1, 3, 6)


def test_linear_with_bias():
    inputs = random_tensor(2, 5, 3)
    layer = run_layer_test(
        LinearNorm,
        {"channels": 6, "norm": None},
        [inputs],
        expected_shapes=[(2, 5, 6)],
        expected_weights=2,
    )
    expected = inputs.numpy() @ layer.kernel.numpy()[0] + layer.bias.numpy()
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)


def test_depthwise():
    inputs = random_tensor(1, 4, 5, 2)
    layer = run_layer_test(
        DepthwiseConvNorm,
        {"kernel_size": 3, "norm": NORM, "activation": None},
        [inputs],
        expected_shapes=[(1, 4, 5, 2)],
        expected_weights=5,
    )
    assert layer.weights[0].name.endswith("kernel:0")
    fresh = DepthwiseConvNorm(kernel_size=3, norm=NORM, activation=None)
    outputs = fresh(inputs).numpy()
    window = inputs.numpy()[0, 0:3, 1:4]
    by_hand = (window * fresh.depthwise_kernel.numpy()[..., 0]).sum((0, 1)) * SHRINK
    np.testing.assert_allclose(outputs[0, 1, 2], by_hand, atol=1e-5)


def test_separable():
    run_layer_test(
        SeparableConvNorm,
        {"channels": 6, "norm": NORM, "activation": "gelu"},
        [random_tensor(2, 4, 5, 3)],
        expected_shapes=[(2, 4, 5, 6)],
        expected_weights=10,
    )

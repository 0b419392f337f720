from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.norm import BatchNorm, LayerNorm
from tests.testing import NORM, random_tensor, run_layer_test

# axes that keep their statistics -> stored shape of the parameters, for [4, 3, 5, 6].
AXES = {(-1,): (6,), (1,): (3,), (1, 3): (1, 3, 1, 6), (): (1,)}


@pytest.mark.parametrize("axes", AXES)
def test_layer(axes):
    layer = run_layer_test(
        BatchNorm,
        {"norm": NORM, "axes": axes},
        [random_tensor(4, 3, 5, 6)],
        expected_shapes=[(4, 3, 5, 6)],
        expected_weights=4,
    )
    assert layer.gamma.shape == AXES[axes]
    assert layer.moving_variance.shape == AXES[axes]


# The last two are beyond the size where the fused operation takes over.
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((4, 3, 5, 6), axes) for axes in AXES] + [((2, 96, 96, 5), (-1,)), ((4, 99, 200), (2,))],
)
def test_training_matches_the_definition(shape, axes):
    inputs = 3.0 + 2.0 * random_tensor(*shape).numpy()
    layer = BatchNorm(NORM, axes=axes, gamma=0.5)
    layer.build(shape)
    layer.beta.assign(tf.fill(layer.beta.shape, 0.25))
    reduced = tuple(i for i in range(len(shape)) if i not in [a % len(shape) for a in axes])
    mean, variance = inputs.mean(reduced, keepdims=True), inputs.var(reduced, keepdims=True)

    outputs = layer(tf.constant(inputs), training=True)

    expected = 0.5 * (inputs - mean) / np.sqrt(variance + NORM.epsilon) + 0.25
    np.testing.assert_allclose(outputs, expected, atol=2e-5)
    np.testing.assert_allclose(np.ravel(layer.moving_mean), 0.1 * mean.ravel(), rtol=1e-4)
    # Biased: no factor n / (n - 1).
    np.testing.assert_allclose(
        np.ravel(layer.moving_variance), 0.9 + 0.1 * variance.ravel(), rtol=1e-5
    )
    frozen = layer(tf.constant(inputs))
    moving = (v.numpy().reshape(mean.shape) for v in (layer.moving_mean, layer.moving_variance))
    moving_mean, moving_variance = moving
    expected = 0.5 * (inputs - moving_mean) / np.sqrt(moving_variance + NORM.epsilon) + 0.25
    np.testing.assert_allclose(frozen, expected, atol=2e-5)


@pytest.mark.parametrize("axes", AXES)
def test_gradient_matches_automatic_differentiation(axes):
    inputs = random_tensor(4, 3, 5, 6)
    layer = BatchNorm(NORM, axes=axes, gamma=0.7)
    layer.build(inputs.shape)
    reduced = [i for i in range(4) if i not in [a % 4 for a in axes]]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs, training=True) ** 3)
        mean, variance = tf.nn.moments(inputs, reduced, keepdims=True)
        gamma = tf.reshape(layer.gamma, mean.shape)
        plain = tf.nn.batch_normalization(inputs, mean, variance, None, gamma, NORM.epsilon)
        plain_loss = tf.reduce_sum(plain**3)
    for source in (inputs, layer.gamma):
        np.testing.assert_allclose(
            tape.gradient(loss, source), tape.gradient(plain_loss, source), rtol=1e-3, atol=1e-3
        )


def test_parameters_keep_the_shape_that_is_asked_for():
    layer = BatchNorm(NORM, parameter_shape=(1, 2, 1, 3))
    inputs = random_tensor(2, 4, 6)
    layer.build(inputs.shape)
    layer.gamma.assign(tf.reshape(tf.range(6, dtype=tf.float32), (1, 2, 1, 3)))
    scale = np.arange(6) / np.sqrt(1.0 + NORM.epsilon)
    np.testing.assert_allclose(layer(inputs), inputs * scale, rtol=1e-5)
    with pytest.raises(ValueError, match="`parameter_shape` must have 6 elements"):
        BatchNorm(NORM, parameter_shape=(5,))(inputs)


def test_frozen_layer_keeps_its_statistics():
    layer = BatchNorm(NORM)
    layer.trainable = False
    layer(random_tensor(2, 3) + 5.0, training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_replicas_share_statistics():
    command = [sys.executable, "-m", "tests.layers.sync_batch_norm"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "synchronised", result.stderr


def test_layer_norm():
    inputs = 2.0 + random_tensor(2, 3, 4, 8)
    layer = run_layer_test(
        LayerNorm,
        {},
        [inputs],
        expected_shapes=[(2, 3, 4, 8)],
        expected_weights=2,
        has_training=False,
    )
    layer.gamma.assign(tf.ones(8))
    layer.beta.assign(tf.zeros(8))
    centred = inputs - np.mean(inputs, -1, keepdims=True)
    expected = centred / np.sqrt(np.var(inputs, -1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.dual_path_block import DualPathBlock, DualPathBlockSettings
from kmax_tf.layers.norm import BatchNorm
from tests.testing import NORM, random_tensor, run_layer_test

SETTINGS = DualPathBlockSettings(
    pixel_channels=6,
    memory_channels=5,
    width=4,
    num_heads=2,
    feed_forward_width=7,
    drop_path_keep_prob=1.0,
)
PIXELS = random_tensor(2, 3, 4, 6)
MEMORY = random_tensor(2, 3, 5, seed=1)


def test_layer():
    block = run_layer_test(
        DualPathBlock,
        {"settings": SETTINGS, "norm": NORM},
        [PIXELS, MEMORY],
        expected_shapes=[(2, 3, 4, 6), (2, 3, 5)],
        expected_weights=8 * 5 + 2 * 8,
    )
    # Queries and keys have 4 channels, values 8, and they are made from 8.
    assert block.pixel_qkv.kernel.shape == (1, 8, 16)
    assert block.memory_qkv.kernel.shape == (1, 8, 16)
    for attention in (block.pixel_attention, block.memory_attention):
        assert attention.similarity_norm.gamma.shape == (2,)
        assert attention.retrieved_norm.gamma.shape == (1, 2, 1, 4)
    dynamic = tf.function(
        block,
        input_signature=[tf.TensorSpec([None, None, None, 6]), tf.TensorSpec([None, None, 5])],
    )
    for left, right in zip(dynamic(PIXELS, MEMORY), block(PIXELS, MEMORY)):
        np.testing.assert_allclose(left, right, atol=1e-5)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


def norm(layer: BatchNorm, x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Batch norm of inference, parameters along one axis."""
    shape = [1] * x.ndim
    shape[axis] = -1
    values = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    gamma, beta, mean, variance = (v.numpy().reshape(shape).astype(np.float64) for v in values)
    return gamma * (x - mean) / np.sqrt(variance + layer.norm.epsilon) + beta


def linear(layer: tf.keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    return norm(layer.norm, x @ layer.kernel.numpy()[0].astype(np.float64))


def attend(layer, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """One image: [L, 4], [L', 4], [L', 8] -> [L, 8]; the heads are blocks of channels."""
    logits = np.stack([query[:, h * 2 : h * 2 + 2] @ key[:, h * 2 : h * 2 + 2].T for h in (0, 1)])
    logits = norm(layer.similarity_norm, logits, axis=0)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    retrieved = [weights[h] @ value[:, h * 4 : h * 4 + 4] for h in (0, 1)]
    return relu(norm(layer.retrieved_norm, np.concatenate(retrieved, -1)))


def exchange(block: DualPathBlock, pixels: np.ndarray, memory: np.ndarray):
    """The block for one image, [L, 6] and [Q, 5], written out."""
    pixel_space = relu(linear(block.pixel_projection, relu(pixels)))
    memory_space = relu(linear(block.memory_projection, memory))
    pq, pk, pv = np.split(linear(block.pixel_qkv, pixel_space), [4, 8], -1)
    mq, mk, mv = np.split(linear(block.memory_qkv, memory_space), [4, 8], -1)
    message = attend(block.pixel_attention, pq, mk, mv)
    new_pixels = pixels + linear(block.pixel_output, message)
    context = attend(block.memory_attention, mq, np.vstack([pk, mk]), np.vstack([pv, mv]))
    memory = relu(memory + linear(block.memory_output, context))
    hidden = relu(linear(block.feed_forward_hidden, memory))
    return new_pixels, relu(memory + linear(block.feed_forward_output, hidden))


def test_matches_the_definition():
    block = DualPathBlock(SETTINGS, norm=NORM)
    block(PIXELS, MEMORY)
    random = np.random.default_rng(0)
    for variable in block.variables:
        if "kernel" not in variable.name:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    pixels, memory = block(PIXELS, MEMORY)
    for image in range(2):
        expected_pixels, expected_memory = exchange(
            block, PIXELS[image].numpy().reshape(12, 6), MEMORY[image].numpy()
        )
        np.testing.assert_allclose(
            pixels[image].numpy().reshape(12, 6), expected_pixels, rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(memory[image], expected_memory, rtol=1e-4, atol=1e-4)


def test_fresh_block_passes_pixels_raw_and_memory_activated():
    pixels, memory = DualPathBlock(SETTINGS, norm=NORM)(PIXELS, MEMORY)
    np.testing.assert_allclose(pixels, PIXELS)
    np.testing.assert_allclose(memory, tf.nn.relu(MEMORY))


def test_three_branches_drop_on_their_own():
    block = DualPathBlock(SETTINGS._replace(drop_path_keep_prob=0.5), norm=NORM)
    drawn = []

    def record(features, training):
        drawn.append((features.shape[-1], training))
        return features

    block.drop_path = record
    block(PIXELS, MEMORY, training=True)
    assert drawn == [(6, True), (5, True), (5, True)]


def test_widths_are_checked():
    with pytest.raises(ValueError, match="multiples of `num_heads` 3"):
        DualPathBlock(SETTINGS._replace(num_heads=3), norm=NORM)

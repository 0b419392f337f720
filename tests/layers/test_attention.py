from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.layers.attention import NormedAttention, SlotAttention
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {"key_width": 4, "value_width": 6, "num_heads": 2, "norm": NORM}


def test_layer():
    layer = run_layer_test(
        SlotAttention,
        CONFIG,
        [random_tensor(2, 5, 14)],
        expected_shapes=[(2, 5, 6)],
        expected_weights=8,
    )
    assert layer.similarity_norm.gamma.shape == (2,)
    assert layer.retrieved_norm.gamma.shape == (1, 2, 1, 3)


def test_matches_the_definition():
    inputs = random_tensor(2, 5, 14)
    layer = SlotAttention(**CONFIG)
    outputs = layer(inputs).numpy()
    shrink = 1.0 / np.sqrt(1.0 + NORM.epsilon)
    query, key, value = np.split(inputs.numpy()[1], [4, 8], -1)
    for head in range(2):
        logits = query[:, head * 2 :][:, :2] @ key[:, head * 2 :][:, :2].T * shrink
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        expected = weights @ value[:, head * 3 :][:, :3] * shrink
        np.testing.assert_allclose(outputs[1, :, head * 3 :][:, :3], expected, atol=1e-5)


def test_queries_and_keys_of_different_lengths():
    query, key, value = random_tensor(2, 3, 4), random_tensor(2, 5, 4), random_tensor(2, 5, 6)
    layer = run_layer_test(
        NormedAttention,
        CONFIG,
        [query, key, value],
        expected_shapes=[(2, 3, 6)],
        expected_weights=8,
    )
    # Attention does not depend on the order of the keys.
    shuffled = layer(query, key[:, ::-1], value[:, ::-1])
    np.testing.assert_allclose(layer(query, key, value), shuffled, atol=1e-5)


def test_widths_are_checked():
    with pytest.raises(ValueError, match="multiples of `num_heads` 4"):
        SlotAttention(**{**CONFIG, "num_heads": 4})

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.axial_attention import AxialAttention2D, AxisAttention
from tests.testing import NORM, random_tensor, run_layer_test

WIDTHS = {"key_width": 4, "value_width": 8, "num_heads": 2, "norm": NORM}


def attend(layer: AxisAttention, rows: np.ndarray) -> np.ndarray:
    """Attention along [L, D] written out with loops, in inference with fresh statistics."""
    shrink = 1.0 / np.sqrt(1.0 + NORM.epsilon)

    def scaled(norm):
        return norm.gamma.numpy() * shrink

    qkv = rows @ layer.qkv_kernel.numpy() * scaled(layer.qkv_norm)
    query, key, value = np.split(qkv, [4, 8], -1)
    tables = [
        table.embeddings.numpy()
        for table in (layer.query_positions, layer.key_positions, layer.value_positions)
    ]
    similarity, retrieved = scaled(layer.similarity_norm), scaled(layer.retrieved_norm)
    outputs = np.zeros([len(rows), 8])
    for head in range(2):
        q, k, v = (part.reshape(len(rows), 2, -1)[:, head] for part in (query, key, value))
        for i in range(len(rows)):
            logits = [
                similarity[0, 0, head, 0, 0] * (q[i] @ k[j])
                + similarity[1, 0, head, 0, 0] * (q[i] @ tables[0][j - i + 254])
                + similarity[2, 0, head, 0, 0] * (k[j] @ tables[1][j - i + 254])
                for j in range(len(rows))
            ]
            weights = np.exp(logits - np.max(logits))
            weights /= weights.sum()
            content = sum(w * v[j] for j, w in enumerate(weights))
            position = sum(w * tables[2][j - i + 254] for j, w in enumerate(weights))
            outputs[i, head * 4 : head * 4 + 4] = (
                retrieved[0, 0, head, 0] * content + retrieved[1, 0, head, 0] * position
            )
    return outputs


@pytest.mark.parametrize("axis", ["height", "width"])
def test_axis_attention(axis):
    inputs = random_tensor(2, 3, 4, 5)
    layer = run_layer_test(
        AxisAttention,
        {"axis": axis, **WIDTHS},
        [inputs],
        expected_shapes=[(2, 3, 4, 8)],
        expected_weights=16,
    )
    assert layer.similarity_norm.gamma.shape == (3, 1, 2, 1, 1)
    assert layer.retrieved_norm.gamma.shape == (2, 1, 2, 1, 4)
    assert layer.qkv_kernel.name.endswith("qkv_kernel:0")


@pytest.mark.parametrize("axis", ["height", "width"])
def test_axis_attention_matches_the_definition(axis):
    inputs = random_tensor(2, 3, 4, 5)
    layer = AxisAttention(axis=axis, **WIDTHS)
    layer(inputs)
    for index, norm in enumerate((layer.qkv_norm, layer.similarity_norm, layer.retrieved_norm)):
        norm.gamma.assign(1.0 + 0.3 * random_tensor(*norm.gamma.shape, seed=index))
    outputs = layer(inputs).numpy()
    for i in range(4 if axis == "height" else 3):
        rows, got = (
            (inputs[1, :, i], outputs[1, :, i])
            if axis == "height"
            else (inputs[1, i], outputs[1, i])
        )
        np.testing.assert_allclose(got, attend(layer, rows.numpy()), atol=1e-4)


@pytest.mark.parametrize("strides", [1, 2])
def test_axial_attention(strides):
    size = (5, 4) if strides == 1 else (3, 2)
    inputs = random_tensor(2, 5, 4, 3)
    layer = run_layer_test(
        AxialAttention2D,
        {**WIDTHS, "strides": strides},
        [inputs],
        expected_shapes=[(2, *size, 8)],
        expected_weights=32,
    )
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(dynamic(inputs), layer(inputs), atol=1e-5)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`axis` accepts height or width"):
        AxisAttention(axis="depth", **WIDTHS)
    with pytest.raises(ValueError, match="multiples of `num_heads` 3"):
        AxisAttention(axis="width", **{**WIDTHS, "num_heads": 3})

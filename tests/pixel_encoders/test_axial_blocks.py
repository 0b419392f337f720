from __future__ import annotations

import pytest

from kmax_tf.pixel_encoders.axial_blocks import AxialBlock
from tests.testing import NORM, random_tensor, run_layer_test


@pytest.mark.parametrize(("channels", "strides", "weights"), [(16, 1, 42), (5, 2, 47)])
def test_block(channels, strides, weights):
    size = 5 if strides == 1 else 3
    block = run_layer_test(
        AxialBlock,
        {
            "width": 4,
            "num_heads": 2,
            "strides": strides,
            "activation": "gelu",
            "drop_path_keep_prob": 1.0,
            "norm": NORM,
        },
        [random_tensor(2, 5, 5, channels)],
        expected_shapes=[(2, size, size, 16)],
        expected_weights=weights,
    )
    assert block.conv1.channels == 8
    assert block.attention.height_axis.qkv_kernel.shape == (8, 16)


def test_wider_attention():
    block = run_layer_test(
        AxialBlock,
        {
            "width": 4,
            "num_heads": 2,
            "bottleneck_expansion": 4,
            "key_expansion": 2,
            "value_expansion": 4,
            "strides": 1,
            "activation": "relu",
            "drop_path_keep_prob": 1.0,
            "norm": NORM,
        },
        [random_tensor(2, 5, 5, 16)],
        expected_shapes=[(2, 5, 5, 16)],
        expected_weights=42,
    )
    # Bottleneck 16; queries and keys 8 each, values 16.
    assert block.attention.height_axis.qkv_kernel.shape == (16, 32)
    assert block.attention.width_axis.qkv_kernel.shape == (16, 32)
    assert block.attention.width_axis.value_positions.embeddings.shape == (509, 8)
    assert block.conv3.kernel.shape == (1, 1, 16, 16)

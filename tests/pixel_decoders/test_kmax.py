from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.norm import LayerNorm
from kmax_tf.pixel_decoders.kmax import KMaxPixelDecoder, SkipFusion
from kmax_tf.shapes import resize_bilinear
from tests.testing import NORM, random_tensor, run_layer_test

STRIDES = {f"stage{i}": 2**i for i in range(1, 6)}
STAGES = [("axial", 8, 1), ("bottleneck", 3, 2), ("bottleneck", 4, 1), ("bottleneck", 2, 1)]


def pyramid():
    sizes = {"stage1": 33, "stage2": 17, "stage3": 9, "stage4": 5, "stage5": 3}
    return {
        name: random_tensor(2, size, size, 4 * i + 4)
        for i, (name, size) in enumerate(sizes.items())
    }


def config(stages):
    return {"stages": stages, "strides": STRIDES, "norm": NORM}


def test_four_stages():
    decoder = run_layer_test(
        KMaxPixelDecoder,
        config(STAGES),
        [pyramid()],
        # Sorted by name: stride16, stride32, stride8, then the per-pixel feature.
        expected_shapes=[(2, 5, 5, 12), (2, 3, 3, 32), (2, 9, 9, 16), (2, 17, 17, 8)],
        expected_weights=4 * 2 + 3 * 10 + 47 + (20 + 15) + 20 + 20,
    )
    assert [block.conv2.dilation for block in decoder.stages[1]] == [2, 2]


def test_fifth_stage_reads_the_first_encoder_feature():
    decoder = KMaxPixelDecoder(**config([*STAGES, ("bottleneck", 1, 1)]))
    features = decoder(pyramid())
    assert features.per_pixel.shape == (2, 33, 33, 4)
    assert list(features.stages) == ["stride32", "stride16", "stride8", "stride4"]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`stages` needs 2 to 5 entries"):
        KMaxPixelDecoder(**config(STAGES[:1]))
    with pytest.raises(ValueError, match="`block_type` accepts axial or bottleneck"):
        KMaxPixelDecoder(**config([("basic", 8, 1), *STAGES[1:]]))


def test_fusion_projects_before_it_resizes():
    features, skip = random_tensor(2, 3, 3, 5), random_tensor(2, 5, 5, 4)
    layer = run_layer_test(
        SkipFusion,
        {"channels": 6, "activation": "gelu", "norm": NORM},
        [features, skip],
        expected_shapes=[(2, 5, 5, 6)],
        expected_weights=10,
    )
    projected = layer.decoder_projection(tf.nn.gelu(features))
    expected = resize_bilinear(projected, (5, 5)) + layer.skip_projection(tf.nn.gelu(skip))
    np.testing.assert_allclose(layer(features, skip), expected, atol=1e-5)
    norm = LayerNorm()
    normalized = layer(features, skip, skip_norm=norm)
    np.testing.assert_allclose(normalized, layer(features, norm(skip)), atol=1e-6)
    assert np.abs(normalized - expected).max() > 0.1

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.pixel_encoders.max_deeplab_backbone import MaXDeepLabBackbone
from kmax_tf.pixel_encoders.max_deeplab_sizes import MAX_DEEPLAB_SIZES, MaXDeepLabSize
from tests.testing import NORM, random_tensor, run_layer_test

STRIDES = {
    "max_deeplab_s": {"stage1": 2, "stage2": 4, "stage3": 8, "stage4": 16, "stage5": 16},
    "max_deeplab_l": {
        "stage1": 2,
        "stage2": 4,
        "stage3": 8,
        "stage4": 16,
        "stage5": 16,
        "decoder_stage1": 8,
        "decoder_stage2": 4,
        "decoder_stage3": 8,
        "decoder_stage4": 16,
    },
}
CHANNELS = {
    "max_deeplab_s": {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32, "stage5": 64},
    "max_deeplab_l": {
        "stage1": 4,
        "stage2": 8,
        "stage3": 16,
        "stage4": 32,
        "stage5": 64,
        "decoder_stage1": 16,
        "decoder_stage2": 8,
        "decoder_stage3": 16,
        "decoder_stage4": 64,
    },
}
# Trained ones, and two moving statistics per batch norm.
WEIGHTS = {"max_deeplab_s": 301 + 2 * 95, "max_deeplab_l": 282 + 2 * 90}


def size_of(variant: str) -> MaXDeepLabSize:
    return MAX_DEEPLAB_SIZES[variant].scaled(1.0 / 32.0)


def test_encoder():
    size = size_of("max_deeplab_s")
    # In all its depth it amplifies the rounding in which eager and traced runs differ.
    shallow = size._replace(stages=tuple(stage._replace(num_blocks=1) for stage in size.stages))
    run_layer_test(
        MaXDeepLabBackbone,
        {"size": shallow.as_values(), "drop_path_keep_prob": 0.8, "norm": NORM},
        [random_tensor(1, 33, 40, 3)],
        expected_shapes=[
            (1, 17, 20, 4),
            (1, 9, 10, 8),
            (1, 5, 5, 16),
            (1, 3, 3, 32),
            (1, 3, 3, 64),
        ],
        expected_weights=26 + 4 * 24,
    )


@pytest.mark.parametrize("variant", sorted(STRIDES))
def test_published_depth(variant):
    encoder = MaXDeepLabBackbone(size_of(variant).as_values(), drop_path_keep_prob=0.8, norm=NORM)
    images = random_tensor(1, 33, 40, 3)
    pyramid = encoder(images)
    assert {name: feature.shape[-1] for name, feature in pyramid.items()} == CHANNELS[variant]
    for name, stride in STRIDES[variant].items():
        assert pyramid[name].shape[1:3] == (-(-33 // stride), -(-40 // stride)), name
    assert len(encoder.weights) == WEIGHTS[variant]
    assert encoder.strides == STRIDES[variant]
    assert encoder.channels == CHANNELS[variant]
    assert encoder.activation == "relu"
    clone = MaXDeepLabBackbone.from_config(json.loads(json.dumps(encoder.get_config())))
    clone(images)
    clone.set_weights(encoder.get_weights())
    for name, feature in clone(images).items():
        np.testing.assert_allclose(feature, pyramid[name], rtol=1e-4, atol=1e-4)


def test_blocks_can_be_followed_by_anything():
    encoder = MaXDeepLabBackbone(size_of("max_deeplab_s"), drop_path_keep_prob=1.0, norm=NORM)
    images = random_tensor(1, 33, 33, 3)
    seen = []

    def after_block(stage, index, features):
        seen.append((stage, index))
        return tf.zeros_like(features) if (stage, index) == ("stage5", 2) else features

    pyramid = encoder(images, after_block=after_block)
    depths = {"stage2": 3, "stage3": 4, "stage4": 6, "stage5": 3}
    assert seen == [(name, index) for name, depth in depths.items() for index in range(depth)]
    assert not pyramid["stage5"].numpy().any()
    assert pyramid["stage4"].numpy().any()
    assert list(pyramid) == ["stage1", *depths]

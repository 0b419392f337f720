from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.models.dual_path import DualPath, MemoryThread
from kmax_tf.pixel_encoders.max_deeplab_backbone import MaXDeepLabBackbone
from kmax_tf.pixel_encoders.max_deeplab_sizes import MAX_DEEPLAB_SIZES
from tests.testing import NORM, random_tensor, wake_residuals

IMAGES = random_tensor(2, 33, 49, 3)
TRANSFORMERS = {
    "max_deeplab_s": {"stage5": 3, "stage5_extra": 1},
    "max_deeplab_l": {
        "stage4": 3,
        "stage5": 3,
        "decoder_stage4": 1,
        "decoder_stage4_extra": 3,
        "decoder_stage8_extra": 3,
    },
}


def make(variant: str):
    size = MAX_DEEPLAB_SIZES[variant].scaled(1.0 / 32.0).as_values()
    options = {"drop_path_keep_prob": 1.0, "norm": NORM}
    backbone = MaXDeepLabBackbone(size, **options)
    return backbone, DualPath(size, num_mask_slots=5, **options)


@pytest.mark.parametrize("variant", sorted(TRANSFORMERS))
def test_pixels_and_memory(variant):
    backbone, dual_path = make(variant)
    thread = dual_path.start(2)
    assert thread.memory.shape == (2, 5, 8 if variant == "max_deeplab_s" else 16)
    np.testing.assert_array_equal(thread.memory[1], dual_path.memory[0])
    features = dual_path(backbone(IMAGES, after_block=thread), thread)
    sizes = {name: len(blocks) for name, blocks in dual_path.transformers.items()}
    assert sizes == TRANSFORMERS[variant]
    assert features.class_feature.shape == features.mask_feature.shape == thread.memory.shape
    last = list(features.pyramid)[-1]
    assert features.pyramid[last].shape == (2, 9, 13, 8)
    clone = DualPath.from_config(dual_path.get_config())
    clone(backbone(IMAGES, after_block=clone.start(2)), clone.start(2))
    assert [v.shape for v in clone.weights] == [v.shape for v in dual_path.weights]


def test_memory_passes_the_blocks_in_the_order_of_execution():
    class Block:
        def __init__(self, number):
            self.number = number

        def __call__(self, pixels, memory, training):
            assert training
            return pixels + self.number, memory + [self.number]

    thread = MemoryThread({"stage5": [Block(1), Block(2)], "x": [Block(3)]}, [], training=True)
    assert thread("stage4", 0, 10) == 10
    assert thread("stage5", 0, 10) == 11
    assert thread("stage5", 1, 10) == 12
    assert thread("x", 0, 10) == 13
    assert thread.memory == [1, 2, 3]


def test_stages_of_the_large_variant_read_what_the_paper_says():
    """The sums before the decoder's stages, from the recorded results of earlier ones."""
    backbone, dual_path = make("max_deeplab_l")
    pyramid = backbone(IMAGES)
    dual_path(pyramid, dual_path.start(2))
    wake_residuals(backbone)
    wake_residuals(dual_path)
    read, fuses = {}, {**backbone.fuses, **dual_path.fuses}
    for name in fuses:

        def record(features, skips, training, name=name):
            read[name] = (features, skips)
            return fuses[name].call(features, skips, training=training)

        (backbone if name in backbone.fuses else dual_path).fuses[name] = record
    thread = dual_path.start(2)
    done = dual_path(backbone(IMAGES, after_block=thread), thread).pyramid
    expected = {
        "decoder_stage1": ["stage5", "stage3"],
        "decoder_stage2": ["decoder_stage1", "stage2"],
        "decoder_stage3": ["decoder_stage2", "stage3", "decoder_stage1"],
        "decoder_stage4": ["decoder_stage3", "stage5"],
        "decoder_stage5_extra": ["decoder_stage4_extra", "decoder_stage1", "decoder_stage3"],
        "decoder_stage6_extra": ["decoder_stage5_extra", "stage2", "decoder_stage2"],
        "decoder_stage7_extra": ["decoder_stage6_extra", "decoder_stage3", "decoder_stage5_extra"],
        "decoder_stage8_extra": ["decoder_stage7_extra", "stage5", "decoder_stage4_extra"],
        "decoder_stage9_extra": [
            "decoder_stage8_extra",
            "decoder_stage5_extra",
            "decoder_stage7_extra",
        ],
        "decoder_stage10_extra": [
            "decoder_stage9_extra",
            "decoder_stage2",
            "decoder_stage6_extra",
        ],
    }
    assert list(read) == list(expected)
    for name, (features, skips) in read.items():
        for tensor, source in zip([features, *skips], expected[name]):
            np.testing.assert_array_equal(tensor, done[source], err_msg=name)
        assert len(skips) + 1 == len(expected[name])


def test_transformers_use_the_result_of_their_residual_block():
    backbone, dual_path = make("max_deeplab_s")
    backbone(IMAGES, after_block=dual_path.start(2))
    wake_residuals(dual_path)
    with_memory = backbone(IMAGES, after_block=dual_path.start(2))
    alone = backbone(IMAGES)
    np.testing.assert_array_equal(with_memory["stage4"], alone["stage4"])
    assert np.abs(with_memory["stage5"] - alone["stage5"]).max() > 1e-3


def test_memory_is_cast_to_the_compute_dtype():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        _, dual_path = make("max_deeplab_s")
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert dual_path.start(1).memory.dtype == tf.bfloat16
    assert dual_path.memory.dtype == tf.float32

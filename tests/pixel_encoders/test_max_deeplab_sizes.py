from __future__ import annotations

import json

import pytest

from kmax_tf.pixel_encoders.max_deeplab_sizes import (
    MAX_DEEPLAB_SIZES,
    MaXDeepLabSize,
    drop_path_keep_prob,
)

# Keep probability of the blocks of each stage, 0.8 at the deepest.
SCHEDULE = {
    "max_deeplab_s": {
        "stage2": [1.0] * 3,
        "stage3": [1.0] * 4,
        "stage4": [1.0] + [0.85] * 5,
        "stage5": [0.85, 0.8, 0.8],
        "stage5_extra": [0.8],
        "decoder_stage1_extra": [1.0],
        "decoder_stage2_extra": [1.0],
    },
    "max_deeplab_l": {
        "stage1": [1.0] * 3,
        "stage2": [1.0, 0.95, 0.95],
        "stage3": [0.95] + [0.9] * 5,
        "stage4": [0.9, 0.85, 0.85],
        "stage5": [0.85, 0.8, 0.8],
        "decoder_stage1": [0.9],
        "decoder_stage2": [0.95],
        "decoder_stage3": [0.9],
        "decoder_stage4": [0.8],
        "decoder_stage4_extra": [0.8] * 3,
        "decoder_stage5_extra": [0.9] * 3,
        "decoder_stage6_extra": [0.95] * 3,
        "decoder_stage7_extra": [0.9] * 3,
        "decoder_stage8_extra": [0.8] * 3,
        "decoder_stage9_extra": [0.9] * 3,
        "decoder_stage10_extra": [0.95] * 3,
    },
}


@pytest.mark.parametrize("variant", sorted(SCHEDULE))
def test_drop_path_schedule(variant):
    size = MAX_DEEPLAB_SIZES[variant]
    schedule = {
        stage.name: [
            drop_path_keep_prob(
                stage.stride_before(block), min_stride=size.drop_path_min_stride, keep_prob=0.8
            )
            for block in range(stage.num_blocks)
        ]
        for stage in size.stages
    }
    assert list(schedule) == list(SCHEDULE[variant])
    for name, expected in SCHEDULE[variant].items():
        assert schedule[name] == pytest.approx(expected), name


@pytest.mark.parametrize("variant", sorted(SCHEDULE))
def test_stages_fit_together(variant):
    size = MAX_DEEPLAB_SIZES[variant]
    seen = {}
    for stage in size.stages:
        for skip in stage.skips:
            assert seen[skip].channels == stage.channels, (stage.name, skip)
            assert seen[skip].feature_stride == stage.feature_stride, (stage.name, skip)
        assert stage.extra == stage.name.endswith("_extra")
        seen[stage.name] = stage
    extra = [stage.extra for stage in size.stages]
    assert extra == sorted(extra)  # The backbone runs first.
    assert seen[size.semantic_stage].channels == (2048 if variant == "max_deeplab_s" else 256)
    assert (size.stages[-1].channels, size.stages[-1].feature_stride) == (256, 4)


def test_scaling():
    size = MAX_DEEPLAB_SIZES["max_deeplab_l"]
    assert size.scaled(1.0) == size
    half = size.scaled(0.5)
    assert (half.stem_width, half.memory_width, half.feed_forward_width) == (32, 256, 1024)
    assert [stage.channels for stage in half.stages[:5]] == [64, 128, 256, 512, 1024]
    # Heads need widths of 8 k; without attention stages have no transformer at any scale.
    tiny = size.scaled(0.01)
    for stage, published in zip(tiny.stages, size.stages):
        assert (stage.attention_width > 0) == (published.attention_width > 0)
        assert stage.attention_width % 8 == 0
        assert stage.base_width % (8 if stage.stride >= 16 else 1) == 0
        assert stage.base_width >= 1


def test_survives_a_config():
    for size in MAX_DEEPLAB_SIZES.values():
        restored = MaXDeepLabSize.of(json.loads(json.dumps(size.as_values())))
        assert restored.as_values()[0] == size.stem_width
        for stage, original in zip(restored.stages, size.stages):
            assert stage._replace(skips=tuple(stage.skips)) == original

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.pixel_encoders.max_deeplab_sizes import MAX_DEEPLAB_SIZES
from kmax_tf.pixel_encoders.max_deeplab_stages import (
    ResizedFuse,
    StageOptions,
    make_blocks,
    make_fuses,
    run_stage,
)
from kmax_tf.shapes import resize_bilinear
from tests.testing import NORM, random_tensor, run_layer_test


def options(variant: str, multiplier: float = 1.0 / 32.0) -> StageOptions:
    size = MAX_DEEPLAB_SIZES[variant].scaled(multiplier)
    return StageOptions(size, drop_path_keep_prob=0.8, activation="relu", norm=NORM)


@pytest.mark.parametrize(("halve", "size"), [(True, (9, 6)), (False, (3, 2)), (False, (5, 3))])
def test_fuse(halve, size):
    features = random_tensor(2, *size, 4)
    skips = [random_tensor(2, 5, 3, 6, seed=1), random_tensor(2, 5, 3, 6, seed=2)]
    fuse = run_layer_test(
        ResizedFuse,
        {"channels": 6, "halve": halve, "activation": "relu", "norm": NORM},
        [features, skips],
        expected_shapes=[(2, 5, 3, 6)],
        expected_weights=5,
    )
    projection = fuse.strided_projection if halve else fuse.resized_projection
    expected = projection(tf.nn.relu(features))
    if not halve:
        expected = resize_bilinear(expected, (5, 3))
    # Skips are neither activated nor projected.
    np.testing.assert_allclose(fuse(features, skips), expected + skips[0] + skips[1], atol=1e-5)


def test_kinds_of_blocks():
    kinds = {
        variant: {
            stage.name: [type(block).__name__[:2] for block in make_blocks(stage, options(variant))]
            for stage in MAX_DEEPLAB_SIZES[variant].scaled(1.0 / 32.0).stages
        }
        for variant in MAX_DEEPLAB_SIZES
    }
    assert kinds["max_deeplab_s"] == {
        "stage2": ["Bo"] * 3,
        "stage3": ["Bo"] * 4,
        "stage4": ["Bo"] + ["Ax"] * 5,
        "stage5": ["Ax"] * 3,
        "stage5_extra": ["Ax"],
        "decoder_stage1_extra": ["Bo"],
        "decoder_stage2_extra": ["Bo"],
    }
    assert kinds["max_deeplab_l"] == {
        "stage1": ["Ba"] * 3,
        "stage2": ["Ba"] * 3,
        "stage3": ["Ba"] * 6,
        "stage4": ["Ba", "Ax", "Ax"],
        "stage5": ["Ax"] * 3,
        "decoder_stage1": ["Ba"],
        "decoder_stage2": ["Ba"],
        "decoder_stage3": ["Ba"],
        "decoder_stage4": ["Ax"],
        "decoder_stage4_extra": ["Ax"] * 3,
        "decoder_stage5_extra": ["Ba"] * 3,
        "decoder_stage6_extra": ["Ba"] * 3,
        "decoder_stage7_extra": ["Ba"] * 3,
        "decoder_stage8_extra": ["Ax"] * 3,
        "decoder_stage9_extra": ["Ba"] * 3,
        "decoder_stage10_extra": ["Ba"] * 3,
    }


def test_strides_and_drop_path_of_blocks():
    for variant in MAX_DEEPLAB_SIZES:
        settings = options(variant)
        for stage in settings.size.stages:
            blocks = make_blocks(stage, settings)
            halves = [block.strides for block in blocks]
            first = 2 if stage.name in ("stage2", "stage3", "stage4") else 1
            assert halves == [first] + [1] * (len(blocks) - 1), stage.name
            assert {block.channels for block in blocks} == {stage.channels}
            for index, block in enumerate(blocks):
                keep = settings.keep_prob(stage, index)
                assert block.drop_path.keep_prob == pytest.approx(keep)


def test_fuses_of_the_large_variant():
    settings = options("max_deeplab_l")
    fuses = make_fuses(settings.size.stages, settings)
    assert {name: fuse.halve for name, fuse in fuses.items()} == {
        "decoder_stage1": False,
        "decoder_stage2": False,
        "decoder_stage3": True,
        "decoder_stage4": True,
        "decoder_stage5_extra": False,
        "decoder_stage6_extra": False,
        "decoder_stage7_extra": True,
        "decoder_stage8_extra": True,
        "decoder_stage9_extra": False,
        "decoder_stage10_extra": False,
    }
    skips = {stage.name: stage.skips for stage in settings.size.stages if stage.skips}
    short = {
        name.replace("decoder_stage", "dec").replace("_extra", ""): [
            skip.replace("decoder_stage", "dec").replace("_extra", "") for skip in names
        ]
        for name, names in skips.items()
    }
    assert short == {
        "dec1": ["stage3"],
        "dec2": ["stage2"],
        "dec3": ["stage3", "dec1"],
        "dec4": ["stage5"],
        "dec5": ["dec1", "dec3"],
        "dec6": ["stage2", "dec2"],
        "dec7": ["dec3", "dec5"],
        "dec8": ["stage5", "dec4"],
        "dec9": ["dec5", "dec7"],
        "dec10": ["dec2", "dec6"],
    }


def test_run_stage():
    settings = options("max_deeplab_s")
    stage = settings.size.stages[-2]._replace(num_blocks=2)
    calls = []

    def after_block(name, index, features):
        calls.append((name, index))
        return features + 1.0

    arguments = {
        "blocks": [lambda x, training: 2.0 * x] * 2,
        "fuse": lambda features, skips, training: features + skips[0],
        "features": tf.ones([1, 1, 1, 1]),
        "pyramid": {"stage3": 4.0 * tf.ones([1, 1, 1, 1])},
        "training": False,
    }
    plain = run_stage(stage, after_block=None, **arguments)
    assert plain.numpy().item() == (1.0 + 4.0) * 4.0
    changed = run_stage(stage, after_block=after_block, **arguments)
    assert changed.numpy().item() == ((1.0 + 4.0) * 2.0 + 1.0) * 2.0 + 1.0
    assert calls == [("decoder_stage1_extra", 0), ("decoder_stage1_extra", 1)]

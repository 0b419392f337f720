from __future__ import annotations

import pytest

from kmax_tf.checkpoints import parts
from tests.checkpoints import toy


def test_names_of_both_layouts_are_of_the_same_part():
    for path, name in toy.DEEPLAB2.items():
        part = path.split("/")[0]
        assert parts.part_of(path) == part
        assert parts.part_of(f"model/{path}{toy.SUFFIX}") == part
        assert parts.part_of(f"average/{path}{toy.SUFFIX}") == part
        assert parts.part_of(name + toy.SUFFIX) == part


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("backbone/_encoder/_stem/_conv/kernel", "pixel_encoder"),
        ("_stage2/_block1/_conv1_bn_act/_conv/kernel", "pixel_encoder"),
        ("downsample_layers/0/layer_with_weights-0/kernel", "pixel_encoder"),
        ("downsamplers/0/conv/kernel", "pixel_encoder"),
        ("downsample_layers.0.0.weight", "pixel_encoder"),
        ("stages.0.blocks.0.conv_dw.weight", "pixel_encoder"),
        ("stem.0.weight", "pixel_encoder"),
        ("encoder/memory_feature", "dual_path"),
        ("head.fc.weight", "head"),
        ("backbone/_classifier/kernel", "backbone"),
    ],
)
def test_parts_in_files_of_encoders(name, part):
    assert parts.part_of(name) == part


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder/_stage5/_block2/_conv3_bn/_conv/kernel", True),
        ("encoder/_decoder_stage4/_block1/_conv3_bn/_conv/kernel", True),
        ("encoder/_stage5/_block2_transformer/_memory_conv3_bn/_conv/kernel", False),
        ("encoder/_decoder_stage5_extra/_block1/_conv2_bn/_conv/kernel", False),
        ("encoder/_stage5_extra/_block1/_conv3_bn/_conv/kernel", False),
        ("encoder/_class_feature_extra/_conv/kernel", False),
        ("encoder/memory_feature", False),
        ("pixel_decoder/_stages/0/_block1/_conv3_bn/_conv/kernel", False),
    ],
)
def test_the_backbone_of_max_deeplab(name, expected):
    assert parts.is_deeplab2_encoder(name) == expected


def test_class_shaped():
    assert {path for path in toy.KMAX if parts.is_class_shaped(path)} == toy.HEADS
    assert {path for path in toy.KMAX if parts.GROUPS["heads"].search(path)} == toy.HEADS


def test_parts_come_in_the_order_of_the_network():
    groups = parts.group_by_part(["other/a", "mask_head/b", "encoder/c", "pixel_encoder/d"])
    assert groups == [
        ("pixel_encoder", ["encoder/c", "pixel_encoder/d"]),
        ("mask_head", ["mask_head/b"]),
        ("other", ["other/a"]),
    ]
    assert parts.in_words("pixel_encoder") == "pixel encoder"

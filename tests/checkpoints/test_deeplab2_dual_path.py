from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.deeplab2_dual_path import DUAL_PATH_RULES
from kmax_tf.checkpoints.mapping import compare, variables_by_path
from tests.golden import max_deeplab
from tests.golden.fill_rule import SUFFIX


def number_of_parameters(variables) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def test_every_key_of_a_published_checkpoint_is_named_once():
    with tf.Graph().as_default():  # Shapes alone: nothing is allocated.
        model = max_deeplab.build_published("max_deeplab_s")
    variables = variables_by_path(model)
    manifest = max_deeplab.manifest()
    assert len(variables) == len(manifest) == 907
    comparison = compare(variables, {k: e.shape for k, e in manifest.items()}, deeplab2_name)
    assert len(comparison.fitting) == 907
    assert sorted(comparison.fitting.values()) == sorted(manifest)
    backbone = {id(variable) for variable in model.pixel_encoder.trainable_variables}
    for path, key in comparison.fitting.items():
        variable, entry = variables[path], manifest[key]
        assert variable.trainable == entry.trainable, key
        assert entry.backbone == ((id(variable) in backbone) if variable.trainable else None), key
    assert number_of_parameters(model.trainable_variables) == 77_756_942
    auxiliary = number_of_parameters(model.semantic_head.trainable_variables)
    assert 77_756_942 - auxiliary == 61_900_200
    assert len(backbone) == 301
    assert number_of_parameters(model.pixel_encoder.trainable_variables) == 41_343_424


@pytest.mark.slow
def test_parameters_of_the_large_variant():
    with tf.Graph().as_default():
        model = max_deeplab.build_published("max_deeplab_l")
    trained = number_of_parameters(model.trainable_variables)
    assert trained == 450_871_278
    assert trained - number_of_parameters(model.semantic_head.trainable_variables) == 450_763_880
    assert number_of_parameters(model.pixel_encoder.trainable_variables) == 175_115_392


# Some of each kind.
KEYS_OF_THE_LARGE_VARIANT = [
    "encoder/memory_feature",
    "encoder/_stem/_conv/kernel",
    "encoder/_stem/_batch_norm/moving_mean",
    "encoder/_stage1/_block1/_shortcut/_conv/kernel",
    "encoder/_stage1/_block1/_conv1_bn_act/_batch_norm/beta",
    "encoder/_stage3/_block6/_conv2_bn/_batch_norm/gamma",
    "encoder/_stage4/_block1/_conv2_bn/_conv/kernel",
    "encoder/_stage4/_block2/_attention/_height_axis/qkv_kernel",
    "encoder/_stage4/_block1_transformer/_memory_qkv_conv_bn/_conv/kernel",
    "encoder/_stage4/_block3_transformer/_pixel_conv3_bn/_batch_norm/gamma",
    "encoder/_stage5/_block1/_shortcut/_batch_norm/gamma",
    "encoder/_stage5/_block3/_conv3_bn/_conv/kernel",
    "encoder/_stage5/_block2_transformer/_memory_attention/_batch_norm_similarity/moving_variance",
    "encoder/_stage5/_block2_transformer/_pixel_attention/_batch_norm_retrieved_value/gamma",
    "encoder/_stage5/_block2_transformer/_memory_ffn_conv2_bn/_batch_norm/gamma",
    "encoder/_decoder_stage1_resized_fuse/_resized_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage2_resized_fuse/_resized_conv_bn1/_batch_norm/beta",
    "encoder/_decoder_stage3_resized_fuse/_strided_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage4_resized_fuse/_strided_conv_bn1/_batch_norm/moving_variance",
    "encoder/_decoder_stage5_extra_resized_fuse/_resized_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage6_extra_resized_fuse/_resized_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage7_extra_resized_fuse/_strided_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage8_extra_resized_fuse/_strided_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage9_extra_resized_fuse/_resized_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage10_extra_resized_fuse/_resized_conv_bn1/_conv/kernel",
    "encoder/_decoder_stage1/_block1/_conv1_bn_act/_conv/kernel",
    "encoder/_decoder_stage4/_block1/_attention/_width_axis/_value_rpe/embeddings",
    "encoder/_decoder_stage4/_block1_transformer/_pixel_conv1_bn_act/_conv/kernel",
    "encoder/_decoder_stage4_extra/_block3_transformer/_memory_conv1_bn_act/_conv/kernel",
    "encoder/_decoder_stage8_extra/_block1/_attention/_height_axis/_batch_norm_qkv/gamma",
    "encoder/_decoder_stage8_extra/_block3_transformer/_memory_conv3_bn/_batch_norm/gamma",
    "encoder/_decoder_stage10_extra/_block3/_conv2_bn/_conv/kernel",
    "encoder/_class_feature_extra/_conv/kernel",
    "encoder/_mask_feature_extra/_batch_norm/gamma",
    "transformer_class_head/_conv/bias",
    "transformer_mask_head/_conv/kernel",
    "pixel_space_head/conv_block/_conv1_bn_act/_depthwise/_depthwise_conv/depthwise_kernel",
    "pixel_space_head/final_conv/bias",
    "pixel_space_mask_batch_norm/gamma",
    "semantic_head_without_last_layer/_conv1_bn_act/_pointwise/_conv/kernel",
    "semantic_last_layer/bias",
]


def test_keys_of_the_large_variant():
    model = build_model(max_deeplab.tiny_config("max_deeplab_l"))
    variables = variables_by_path(model)
    keys = {deeplab2_name(path): variable for path, variable in variables.items()}
    assert len(keys) == len(variables) == len(model.variables) == 1672
    missing = [key for key in KEYS_OF_THE_LARGE_VARIANT if key + SUFFIX not in keys]
    assert not missing
    fuses = {key.split("/")[1] for key in keys if "_resized_fuse/" in key}
    assert len(fuses) == 10
    assert not [key for key in keys if "_decoder_stage4_extra_resized_fuse" in key]
    assert not [key for key in keys if "bn2/" in key and "_resized_fuse" in key]
    transformers = {"/".join(key.split("/")[:3]) for key in keys if "_transformer/" in key}
    assert len(transformers) == 13
    shortcuts = {"/".join(key.split("/")[1:3]) for key in keys if "/_shortcut/" in key}
    assert shortcuts == {f"_stage{i}/_block1" for i in range(1, 6)}
    backbone = {id(variable) for variable in model.pixel_encoder.trainable_variables}
    assert len(backbone) == 282
    others = ("transformer", "extra", "memory_feature")
    for key, variable in keys.items():
        if variable.trainable:
            expected = key.startswith("encoder/") and not any(part in key for part in others)
            assert (id(variable) in backbone) == expected, key


def test_rules_leave_other_models_alone():
    for path in ("pixel_encoder/stages/0/1/conv2/kernel", "pixel_decoder/stages/1/0/conv1/kernel"):
        assert not [pattern for pattern, _ in DUAL_PATH_RULES if re.search(pattern, path)]

from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import compare, variables_by_path
from tests.golden import kmax_models

# Names do not depend on widths; small ones build quickly.
NARROW = [
    "model_options.kmax_pixel_decoder.stages.0.width=32",
    "model_options.kmax_pixel_decoder.stages.1.width=8",
    "model_options.kmax_pixel_decoder.stages.2.width=4",
    "model_options.kmax_pixel_decoder.stages.3.width=4",
    "model_options.kmax_transformer_decoder.width=16",
    "model_options.kmax_transformer_decoder.key_width=8",
    "model_options.kmax_transformer_decoder.feed_forward_width=8",
]
# A block has a shortcut where the number of channels changes: between encoder and decoder it does
# in the published ConvNeXt model only.
ENCODERS = {
    "kmax_r50": "model_options.resnet.widths=2,3,4,32",
    "kmax_axial_r50": "model_options.axial_resnet.widths=2,3,8,32",
    "kmax_convnext_tiny": "model_options.convnext.widths=2,3,4,5",
}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_key_of_a_published_checkpoint_is_named_once(name):
    overrides = [*NARROW, ENCODERS[name]]
    model = build_model(load_config("configs/coco/kmax_r50.textproto", overrides))
    variables = variables_by_path(model)
    manifest = kmax_models.manifest(name)
    names = [deeplab2_name(path) for path in variables]
    assert sorted(names) == sorted(manifest)
    for name, variable in zip(names, variables.values()):
        assert variable.trainable == manifest[name].trainable, name
        assert len(variable.shape) == len(manifest[name].shape), name
    comparison = compare(variables, {k: e.shape for k, e in manifest.items()}, deeplab2_name)
    assert not comparison.missing
    assert not comparison.unused


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pixel_encoder/stem/kernel", "encoder/_stem/_conv/kernel"),
        (
            "pixel_decoder/stages/1/4/attention/height_axis/similarity_norm/moving_variance",
            "pixel_decoder/_stages/1/_block5/_attention/_height_axis/_batch_norm_similarity/"
            "moving_variance",
        ),
        ("transformer_decoder/cluster_centers", "transformer_decoder/cluster_centers"),
        ("pixel_encoder/stem/conv3/norm/beta", "encoder/_stem/_conv3_bn/_batch_norm/beta"),
        (
            "pixel_encoder/downsamplers/0/conv/kernel",
            "encoder/downsample_layers/0/layer_with_weights-0/kernel",
        ),
        (
            "pixel_encoder/downsamplers/3/conv/bias",
            "encoder/downsample_layers/3/layer_with_weights-1/bias",
        ),
        (
            "pixel_encoder/stages/2/8/depthwise/kernel",
            "encoder/stages/2/layer_with_weights-8/depthwise_conv/kernel",
        ),
        (
            "pixel_encoder/stages/2/8/layer_scale",
            "encoder/stages/2/layer_with_weights-8/layer_scale",
        ),
        ("semantic_head/projection/bias", "semantic_last_layer/bias"),
        ("mask_head/mask_norm/gamma", "pixel_space_mask_batch_norm/gamma"),
        (
            "transformer_decoder/blocks/0/kmeans_attention/retrieved_norm/moving_variance",
            "transformer_decoder/_kmax_decoder/0/_block1_transformer/"
            "_kmeans_memory_batch_norm_retrieved_value/moving_variance",
        ),
    ],
)
def test_names(path, name):
    assert deeplab2_name(path) == name + "/.ATTRIBUTES/VARIABLE_VALUE"

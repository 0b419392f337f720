from __future__ import annotations

import pytest

from kmax_tf.build.deeplab2_config_model import SEMANTIC_LAST_LAYER
from protos import model_pb2
from tests.build.old_config import old_settings, translate, with_setting

BACKBONE = "model_options.backbone"
MAX_DEEPLAB = {
    "name": "max_deeplab_s",
    "output_stride": 16,
    "drop_path_keep_prob": 0.8,
    "drop_path_schedule": "linear",
}


def model_of(settings) -> model_pb2.ModelOptions:
    return translate(settings).model_options


@pytest.mark.parametrize(
    ("name", "field", "variant"),
    [
        ("kmax_resnet50", "resnet", "RESNET_50"),
        ("kmax_axial_resnet50", "axial_resnet", "AXIAL_RESNET_50"),
        ("kmax_convnext_tiny", "convnext", "CONVNEXT_TINY"),
        ("kmax_convnext_xlarge", "convnext", "CONVNEXT_XLARGE"),
    ],
)
def test_encoders(name, field, variant):
    model = model_of(with_setting(BACKBONE, {"name": name, "drop_path_keep_prob": 0.5}))
    assert model.WhichOneof("pixel_encoder") == field
    options = getattr(model, field)
    assert type(options).Variant.Name(options.variant) == variant
    assert options.drop_path_keep_prob == 0.5
    assert model.WhichOneof("network") is None


@pytest.mark.parametrize(
    ("dataset", "slots", "stages", "keep", "decoder"),
    [
        ("cityscapes_panoptic", 256, 5, 0.8, False),
        ("coco_panoptic", 128, 4, 0.8, True),
        ("ade20k_panoptic", 128, 4, 1.0, True),
        ("my_panoptic", 128, 4, 0.8, True),
        ("my_coco_of_cityscapes", 256, 5, 0.8, False),
        ("ade20k_in_coco_format", 128, 4, 0.8, True),
    ],
)
def test_the_name_of_the_data_set_decides_as_in_deeplab2(dataset, slots, stages, keep, decoder):
    settings = with_setting("train_dataset_options.dataset", dataset)
    channels = {"cityscapes_panoptic": 19, "ade20k_panoptic": 151}.get(dataset, 134)
    head = settings["model_options"]["max_deeplab"]["auxiliary_semantic_head"]
    head["output_channels"] = channels
    model = model_of(settings)
    assert model.kmax_transformer_decoder.num_mask_slots == slots
    assert len(model.kmax_pixel_decoder.stages) == stages
    assert model.kmax_transformer_decoder.drop_path_keep_prob == pytest.approx(keep)
    assert model.HasField("semantic_head")
    assert model.semantic_head.HasField("decoder") == decoder


@pytest.mark.parametrize("size", ["s", "l"])
def test_max_deeplab(size):
    model = model_of(with_setting(BACKBONE, {**MAX_DEEPLAB, "name": f"max_deeplab_{size}"}))
    assert model.WhichOneof("pixel_encoder") is None
    network = model.dual_path_transformer
    assert network.variant == {"s": network.MAX_DEEPLAB_S, "l": network.MAX_DEEPLAB_L}[size]
    assert network.num_mask_slots == 128
    assert network.drop_path_keep_prob == pytest.approx(0.8)
    semantic = model.semantic_head
    assert semantic.HasField("decoder") == (size == "s")
    if size == "s":
        assert semantic.decoder.pooling == model_pb2.SemanticDecoderOptions.TRAIN_CROP


@pytest.mark.parametrize(
    "name", ["resnet50", "wide_resnet41", "kmax_moat0_pretrain_224_1k", "max_deeplab_s_backbone"]
)
def test_other_backbones_are_refused(name):
    with pytest.raises(ValueError, match=rf"`{BACKBONE}\.name` must be kmax_.*received {name}\."):
        translate(with_setting(f"{BACKBONE}.name", name))


def test_without_a_name_the_old_default_is_refused():
    with pytest.raises(ValueError, match=r"backbone\.name`.*received resnet50, deeplab2's default"):
        translate(with_setting(BACKBONE, {"drop_path_keep_prob": 0.5}))


@pytest.mark.parametrize("name", ["panoptic_deeplab", "motion_deeplab", "vip_deeplab"])
def test_other_architectures_are_refused_with_their_line(name):
    settings = with_setting("model_options.max_deeplab", None)
    settings["model_options"][name] = {"instance": {"enable": True}}
    with pytest.raises(
        ValueError, match=rf"old\.textproto:\d+: `model_options\.{name}` is another"
    ):
        translate(settings)


def test_a_file_without_max_deeplab_is_refused():
    with pytest.raises(ValueError, match=r"`model_options\.max_deeplab` is missing"):
        translate(with_setting("model_options.max_deeplab", None))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{BACKBONE}.use_squeeze_and_excite", True),
        (f"{BACKBONE}.stem_width_multiplier", 2.0),
        (f"{BACKBONE}.backbone_width_multiplier", 0.5),
        (f"{BACKBONE}.backbone_layer_multiplier", 2.0),
        (f"{BACKBONE}.use_sac_beyond_stride", 16),
        (f"{BACKBONE}.output_stride", 16),
        (f"{BACKBONE}.drop_path_schedule", "linear"),
        ("model_options.decoder.feature_key", "res5"),
        ("model_options.decoder.atrous_rates", [3, 6]),
        ("model_options.decoder.decoder_conv_type", "standard_conv"),
        ("model_options.decoder.aspp_use_only_1x1_proj_conv", True),
        ("model_options.max_deeplab.pixel_space_head.head_conv_type", "standard_conv"),
        ("model_options.max_deeplab.pixel_space_head.max_value_after_activation", 1.0),
        ("model_options.max_deeplab.auxiliary_semantic_head.head_channels", None),
        ("model_options.max_deeplab.pixel_space_head.output_channels", None),
    ],
)
def test_settings_that_no_model_here_has_are_refused(path, value):
    with pytest.raises(ValueError, match=rf"^old\.textproto: `{path}` "):
        translate(with_setting(path, value))


def test_a_low_level_feature_needs_both_its_fields():
    settings = with_setting(
        "model_options.max_deeplab.auxiliary_low_level", [{"feature_key": "res3"}]
    )
    with pytest.raises(ValueError, match=r"auxiliary_low_level\.0\.channels_project` must be set"):
        translate(settings)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"output_stride": 32}, "output_stride"),
        ({"drop_path_schedule": "constant"}, "drop_path_schedule"),
    ],
)
def test_max_deeplab_has_one_stride_and_one_schedule(changes, field):
    with pytest.raises(ValueError, match=rf"`{BACKBONE}\.{field}` must be .*max_deeplab_s"):
        translate(with_setting(BACKBONE, {**MAX_DEEPLAB, **changes}))
    without_drop_path = {
        **MAX_DEEPLAB,
        "drop_path_keep_prob": 1.0,
        "drop_path_schedule": "constant",
    }
    assert model_of(with_setting(BACKBONE, without_drop_path)).HasField("dual_path_transformer")


def test_checkpoints(caplog):
    caplog.set_level("INFO", "kmax_tf")
    settings = old_settings()
    settings["model_options"].update(
        initial_checkpoint="folder/ckpt-1",
        restore_semantic_last_layer_from_initial_checkpoint=False,
        restore_instance_last_layer_from_initial_checkpoint=False,
    )
    settings["model_options"]["backbone"]["pretrained_weights"] = "weights"
    model = model_of(settings)
    assert model.initial_checkpoint == "folder/ckpt-1"
    assert list(model.allow_missing) == [SEMANTIC_LAST_LAYER]
    assert not model.pretrained_weights
    assert (
        "model_options.backbone.pretrained_weights (deeplab2 reads it for ConvNeXt" in caplog.text
    )
    assert "in deeplab2 too: model_options.restore_instance_last_layer" in caplog.text
    assert not model_of(old_settings()).allow_missing
    settings["model_options"]["backbone"]["name"] = "kmax_convnext_base"
    assert model_of(settings).pretrained_weights == "weights"


@pytest.mark.parametrize("dataset", ["cityscapes_panoptic", "coco_panoptic"])
def test_the_last_semantic_layer_is_a_group_that_can_start_anew(dataset, repository_root):
    from kmax_tf.build.config import load_config
    from kmax_tf.build.model import build_model
    from kmax_tf.checkpoints.mapping import variables_by_path
    from kmax_tf.checkpoints.parts import GROUPS

    config = load_config(repository_root / "configs/test/tiny.textproto")
    config.train_dataset_options.dataset_info = dataset
    group = GROUPS[SEMANTIC_LAST_LAYER]
    paths = [path for path in variables_by_path(build_model(config)) if group.search(path)]
    assert sorted(p.rpartition("/")[2] for p in paths) == ["bias", "kernel"]

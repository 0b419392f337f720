"""The model part of a deeplab2 config -> our `ModelOptions`.

deeplab2 picks several numbers by words in the name of the data set; here they are fields, which
are set to what the name implies.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from kmax_tf.build.deeplab2_fields import Fields, Notes
from protos import deeplab2_pb2, model_pb2

SEMANTIC_LAST_LAYER = "semantic_last_layer"
"""Entry of `allow_missing` for `restore_semantic_last_layer_from_initial_checkpoint: false`."""

_BOTTLENECK = model_pb2.PixelDecoderStage.BOTTLENECK
_AXIAL = model_pb2.PixelDecoderStage.AXIAL
_STAGES = ((_AXIAL, 512, 1), (_AXIAL, 256, 5), (_BOTTLENECK, 128, 1), (_BOTTLENECK, 64, 1))
_HIGH_RESOLUTION_STAGE = (_BOTTLENECK, 32, 1)

_ENCODERS: Dict[str, Tuple[str, int]] = {
    "kmax_resnet50": ("resnet", model_pb2.ResNetOptions.RESNET_50),
    "kmax_axial_resnet50": ("axial_resnet", model_pb2.AxialResNetOptions.AXIAL_RESNET_50),
    "kmax_convnext_tiny": ("convnext", model_pb2.ConvNeXtOptions.CONVNEXT_TINY),
    "kmax_convnext_small": ("convnext", model_pb2.ConvNeXtOptions.CONVNEXT_SMALL),
    "kmax_convnext_base": ("convnext", model_pb2.ConvNeXtOptions.CONVNEXT_BASE),
    "kmax_convnext_large": ("convnext", model_pb2.ConvNeXtOptions.CONVNEXT_LARGE),
    "kmax_convnext_xlarge": ("convnext", model_pb2.ConvNeXtOptions.CONVNEXT_XLARGE),
}
_NETWORKS: Dict[str, int] = {
    "max_deeplab_s": model_pb2.DualPathTransformerOptions.MAX_DEEPLAB_S,
    "max_deeplab_l": model_pb2.DualPathTransformerOptions.MAX_DEEPLAB_L,
}
_WITHOUT_SEMANTIC_DECODER = ("max_deeplab_l",)


class _NameSwitches(NamedTuple):
    """What deeplab2 decides by the name of the data set, for kMaX-DeepLab."""

    num_mask_slots: int
    num_stages: int
    semantic_decoder: bool
    drop_path_keep_prob: float


# In deeplab2's order: the first word that the name contains decides, the last entry fits any.
_SWITCHES = (
    ("cityscapes", _NameSwitches(256, 5, semantic_decoder=False, drop_path_keep_prob=0.8)),
    ("coco", _NameSwitches(128, 4, semantic_decoder=True, drop_path_keep_prob=0.8)),
    ("ade20k", _NameSwitches(128, 4, semantic_decoder=True, drop_path_keep_prob=1.0)),
    ("", _NameSwitches(128, 4, semantic_decoder=True, drop_path_keep_prob=0.8)),
)


def translate_model(
    old: Fields, target: model_pb2.ModelOptions, *, dataset: str
) -> deeplab2_pb2.MaXDeepLabOptions:
    """Fills `target` from deeplab2's model options.

    Args:
      old: fields of `ModelOptions`.
      target: empty.
      dataset: name of the data set, which decides a few numbers.

    Returns:
      deeplab2's `max_deeplab` message; two of its numbers belong to a loss.

    Raises:
      ValueError: the model or one of its settings is not among ours.
    """
    if not old.is_set("max_deeplab"):
        raise old.fault("max_deeplab", "is missing: only kMaX-DeepLab and MaX-DeepLab can be read")
    backbone = old.take_fields("backbone")
    name = backbone.require(
        "name",
        [*_ENCODERS, *_NETWORKS],
        why="other models of deeplab2 are not part of kmax_tf",
    )
    if name in _NETWORKS:
        semantic_decoder = name not in _WITHOUT_SEMANTIC_DECODER
        _translate_network(backbone, target, name)
    else:
        switches = next(values for word, values in _SWITCHES if word in dataset)
        semantic_decoder = switches.semantic_decoder
        _translate_encoder(backbone, target, name)
        _add_decoders(target, switches)
        _note_switches(old.notes, switches, dataset)
    _require_plain_backbone(backbone)
    max_deeplab = old.take_fields("max_deeplab")
    _translate_heads(old, max_deeplab, target, semantic_decoder=semantic_decoder)
    if semantic_decoder and name in _NETWORKS:
        target.semantic_head.decoder.pooling = model_pb2.SemanticDecoderOptions.TRAIN_CROP
    _translate_checkpoints(old, target)
    return old.take("max_deeplab")


def _translate_encoder(backbone: Fields, target: model_pb2.ModelOptions, name: str) -> None:
    field, variant = _ENCODERS[name]
    options = getattr(target, field)
    options.variant = variant
    backbone.copy(options, "drop_path_keep_prob")
    backbone.require("output_stride", [32], why=f"that of {name}")
    if backbone.is_set("drop_path_schedule"):
        raise backbone.fault("drop_path_schedule", f"must be left out: {name} has its own schedule")
    backbone.take("drop_path_schedule")
    if field == "convnext":
        backbone.copy(target, "pretrained_weights")
    else:
        backbone.drop(
            "pretrained_weights",
            instead="deeplab2 reads it for ConvNeXt only; `model_options.initial_checkpoint` is "
            "the field for others",
        )


def _translate_network(backbone: Fields, target: model_pb2.ModelOptions, name: str) -> None:
    options = target.dual_path_transformer
    options.variant = _NETWORKS[name]
    options.num_mask_slots = 128
    backbone.copy(options, "drop_path_keep_prob")
    backbone.require("output_stride", [16], why=f"that of {name}")
    schedules = ["linear"] if options.drop_path_keep_prob < 1 else ["linear", "constant"]
    backbone.require("drop_path_schedule", schedules, why=f"that of {name}")
    backbone.drop("pretrained_weights", instead="`model_options.initial_checkpoint` is the field")


def _require_plain_backbone(backbone: Fields) -> None:
    backbone.require_defaults(
        "use_squeeze_and_excite",
        "stem_width_multiplier",
        "backbone_width_multiplier",
        "backbone_layer_multiplier",
        "use_sac_beyond_stride",
        why="no published kMaX-DeepLab or MaX-DeepLab has anything else",
    )
    backbone.finish()


def _add_decoders(target: model_pb2.ModelOptions, switches: _NameSwitches) -> None:
    for block_type, width, num_blocks in (*_STAGES, _HIGH_RESOLUTION_STAGE)[: switches.num_stages]:
        target.kmax_pixel_decoder.stages.add(
            block_type=block_type, width=width, num_blocks=num_blocks
        )
    decoder = target.kmax_transformer_decoder
    decoder.num_mask_slots = switches.num_mask_slots
    decoder.num_layers.extend([2, 2, 2])
    decoder.width = 256
    decoder.num_heads = 8
    decoder.key_width = 128
    decoder.feed_forward_width = 2048
    decoder.drop_path_keep_prob = switches.drop_path_keep_prob


def _note_switches(notes: Notes, switches: _NameSwitches, dataset: str) -> None:
    decoder = "a" if switches.semantic_decoder else "no"
    notes.fact(
        f"by the data set's name {dataset!r}, as in deeplab2: num_mask_slots "
        f"{switches.num_mask_slots}, {switches.num_stages} stages of the pixel decoder, "
        f"drop_path_keep_prob {switches.drop_path_keep_prob} in the transformer decoder, {decoder} "
        "semantic decoder."
    )


def _translate_heads(
    old: Fields, max_deeplab: Fields, target: model_pb2.ModelOptions, *, semantic_decoder: bool
) -> None:
    pixel_head = max_deeplab.take_fields("pixel_space_head")
    _require_plain_head(pixel_head)
    pixel_head.copy(target.mask_head, "head_channels", "output_channels")
    target.mask_head.mask_logit_gamma = 0.1
    semantic_head = max_deeplab.take_fields("auxiliary_semantic_head")
    _require_plain_head(semantic_head)
    semantic_head.copy(target.semantic_head, "head_channels")
    semantic_head.take("output_channels")  # Compared with the data set by the caller.
    for head in (pixel_head, semantic_head):
        head.finish()
    if semantic_decoder:
        _translate_semantic_decoder(old.take_fields("decoder"), max_deeplab, target)
    else:
        for fields, name in ((old, "decoder"), (max_deeplab, "auxiliary_low_level")):
            fields.take(name)
            if fields.is_set(name):
                old.notes.inert(fields.path_of(name))
    for name in ("instance_discrimination_sample_k", "instance_discrimination_sample_temperature"):
        max_deeplab.take(name)  # Numbers of a loss, which the caller translates.
    for name in ("semantic_sample_k", "semantic_sample_temperature"):
        max_deeplab.drop(name, inert=True)
    max_deeplab.finish()


def _translate_semantic_decoder(
    decoder: Fields, max_deeplab: Fields, target: model_pb2.ModelOptions
) -> None:
    options = target.semantic_head.decoder
    decoder.require("feature_key", ["feature_semantic"])
    decoder.copy(options, "decoder_channels", "aspp_channels", "atrous_rates")
    if len(options.atrous_rates) != 3:
        raise decoder.fault("atrous_rates", f"needs 3 values; received {len(options.atrous_rates)}")
    decoder.require_defaults(
        "decoder_conv_type",
        "aspp_use_only_1x1_proj_conv",
        why="no published kMaX-DeepLab or MaX-DeepLab has anything else",
    )
    decoder.finish()
    for low_level in max_deeplab.take_all_fields("auxiliary_low_level"):
        low_level.require_set("feature_key", "channels_project")
        low_level.copy(options.auxiliary_low_level.add(), "feature_key", "channels_project")
        low_level.finish()


def _require_plain_head(head: Fields) -> None:
    head.require_set("head_channels", "output_channels")
    head.require_defaults(
        "head_conv_type",
        "max_value_after_activation",
        "min_value_after_activation",
        why="no published kMaX-DeepLab or MaX-DeepLab has anything else",
    )


def _translate_checkpoints(old: Fields, target: model_pb2.ModelOptions) -> None:
    old.copy(target, "initial_checkpoint")
    if not old.take("restore_semantic_last_layer_from_initial_checkpoint"):
        target.allow_missing.append(SEMANTIC_LAST_LAYER)
        old.notes.fact(
            "restore_semantic_last_layer_from_initial_checkpoint false became "
            f"model_options.allow_missing {SEMANTIC_LAST_LAYER!r}: that layer starts anew."
        )
    old.drop("restore_instance_last_layer_from_initial_checkpoint", inert=True)
    old.finish()

"""Checks of `ModelOptions` that the schema cannot express."""

from __future__ import annotations

from typing import Callable, Dict

from kmax_tf.build.ranges import require_length, require_positive, require_probability
from protos import model_pb2

PATH = "model_options"
PARTS = ("pixel_encoder", "pixel_decoder", "transformer_decoder")
_STRIDE = 32
_STRIDE_OF_NETWORK = {"dual_path_transformer": 16}


def output_stride(options: model_pb2.ModelOptions) -> int:
    """The coarsest stride of the model: crop sizes are multiples of it plus one."""
    return _STRIDE_OF_NETWORK.get(options.WhichOneof("network") or "", _STRIDE)


def validate_model(options: model_pb2.ModelOptions) -> None:
    """Raises ValueError naming the field, the value and what is accepted, for the first fault."""
    if options.WhichOneof("network") is None:
        _validate_parts(options)
    else:
        _validate_network(options)
    for name in ("head_channels", "output_channels", "mask_logit_gamma"):
        require_positive([getattr(options.mask_head, name)], f"{PATH}.mask_head.{name}")
    _validate_semantic_head(options.semantic_head)


def _validate_parts(options: model_pb2.ModelOptions) -> None:
    for part in PARTS:
        if options.WhichOneof(part) is None:
            known = ", ".join(f.name for f in options.DESCRIPTOR.oneofs_by_name[part].fields)
            raise ValueError(f"`{PATH}` must choose a {part}: one of {known}.")
    encoder = options.WhichOneof("pixel_encoder")
    _ENCODERS[encoder](getattr(options, encoder), f"{PATH}.{encoder}")
    stages = options.kmax_pixel_decoder.stages
    require_length(stages, (4, 5), f"{PATH}.kmax_pixel_decoder.stages")
    for index, stage in enumerate(stages):
        path = f"{PATH}.kmax_pixel_decoder.stages.{index}"
        require_positive([stage.width], f"{path}.width")
        require_positive([stage.num_blocks], f"{path}.num_blocks")
    _validate_transformer(options.kmax_transformer_decoder)


def _validate_network(options: model_pb2.ModelOptions) -> None:
    network = options.WhichOneof("network")
    for part in PARTS:
        if options.WhichOneof(part) is not None:
            raise ValueError(
                f"`{PATH}` must choose either the network {network} or its parts; received "
                f"{network} and {options.WhichOneof(part)}."
            )
    path = f"{PATH}.dual_path_transformer"
    dual_path = options.dual_path_transformer
    require_positive([dual_path.num_mask_slots], f"{path}.num_mask_slots")
    require_positive([dual_path.width_multiplier], f"{path}.width_multiplier")
    require_probability(dual_path.drop_path_keep_prob, f"{path}.drop_path_keep_prob")


def _validate_encoder(options, path: str) -> None:
    for name in ("depths", "widths"):
        require_length(getattr(options, name), (0, 4), f"{path}.{name}")
        require_positive(getattr(options, name), f"{path}.{name}")
    require_probability(options.drop_path_keep_prob, f"{path}.drop_path_keep_prob")


_ENCODERS: Dict[str, Callable] = {
    "resnet": _validate_encoder,
    "axial_resnet": _validate_encoder,
    "convnext": _validate_encoder,
}


def _validate_transformer(options: model_pb2.KMaxTransformerDecoderOptions) -> None:
    path = f"{PATH}.kmax_transformer_decoder"
    require_length(options.num_layers, (3,), f"{path}.num_layers")
    if min(options.num_layers) < 0 or not any(options.num_layers):
        raise ValueError(
            f"`{path}.num_layers` must not be negative, and one of them positive; received "
            f"{','.join(map(str, options.num_layers))}."
        )
    for name in ("num_mask_slots", "num_heads", "width", "key_width", "feed_forward_width"):
        require_positive([getattr(options, name)], f"{path}.{name}")
    require_probability(options.drop_path_keep_prob, f"{path}.drop_path_keep_prob")
    for name in ("width", "key_width"):
        if getattr(options, name) % options.num_heads:
            raise ValueError(
                f"`{path}.{name}` must be a multiple of `num_heads` ({options.num_heads}); "
                f"received {getattr(options, name)}."
            )


def _validate_semantic_head(options: model_pb2.SemanticHeadOptions) -> None:
    path = f"{PATH}.semantic_head"
    require_positive([options.head_channels], f"{path}.head_channels")
    if not options.HasField("decoder"):
        return
    decoder = options.decoder
    path = f"{path}.decoder"
    require_length(decoder.atrous_rates, (3,), f"{path}.atrous_rates")
    require_positive([decoder.aspp_channels], f"{path}.aspp_channels")
    require_positive([decoder.decoder_channels], f"{path}.decoder_channels")
    for low_level in decoder.auxiliary_low_level:
        if low_level.feature_key not in ("res2", "res3", "res4"):
            raise ValueError(
                f"`{path}.auxiliary_low_level.feature_key` accepts res2, res3, res4; received "
                f"{low_level.feature_key!r}."
            )

"""`DualPathTransformerOptions` -> MaX-DeepLab."""

from __future__ import annotations

from typing import Optional

from kmax_tf.build.heads import mask_head_settings, norm_settings, pooling_window, semantic_head
from kmax_tf.heads.mask_prediction import MaskHead
from kmax_tf.heads.semantic import SemanticHead
from kmax_tf.models.dual_path import DualPath
from kmax_tf.models.max_deeplab import MaXDeepLab
from kmax_tf.pixel_encoders.max_deeplab_backbone import MaXDeepLabBackbone
from kmax_tf.pixel_encoders.max_deeplab_sizes import MAX_DEEPLAB_SIZES, MaXDeepLabSize
from kmax_tf.structures import DatasetInfo
from protos import experiment_pb2, model_pb2

ACTIVATION = "relu"
"""Of all parts, in all published models."""


def build_max_deeplab(config: experiment_pb2.ExperimentOptions, info: DatasetInfo) -> MaXDeepLab:
    """Builds the network, without its variables.

    Args:
      config: `model_options` chooses the network `dual_path_transformer`.
      info: classes.

    Raises:
      ValueError: a semantic decoder for the variant whose semantic feature needs none.
    """
    options = config.model_options
    dual_path = options.dual_path_transformer
    variant = model_pb2.DualPathTransformerOptions.Variant.Name(dual_path.variant)
    size = MAX_DEEPLAB_SIZES[variant.lower()].scaled(dual_path.width_multiplier)
    norm = norm_settings(config.trainer_options.solver_options)
    stages = {
        "drop_path_keep_prob": dual_path.drop_path_keep_prob,
        "norm": norm,
        "activation": ACTIVATION,
    }
    mask_head = mask_head_settings(options.mask_head, info)
    return MaXDeepLab(
        pixel_encoder=MaXDeepLabBackbone(size, name="pixel_encoder", **stages),
        dual_path=DualPath(
            size, num_mask_slots=dual_path.num_mask_slots, name="dual_path", **stages
        ),
        mask_head=MaskHead(mask_head, norm=norm, activation=ACTIVATION, name="mask_head"),
        semantic_head=_semantic_head(config, info, size, variant),
        name="max_deeplab",
    )


def _semantic_head(
    config: experiment_pb2.ExperimentOptions, info: DatasetInfo, size: MaXDeepLabSize, variant: str
) -> Optional[SemanticHead]:
    options = config.model_options
    stride = {stage.name: stage.feature_stride for stage in size.stages}[size.semantic_stage]
    if options.semantic_head.HasField("decoder") and stride == size.stages[-1].feature_stride:
        raise ValueError(
            f"`model_options.semantic_head.decoder` must be absent for {variant}, whose semantic "
            f"feature already has the stride of the masks, {stride}; received a decoder."
        )
    return semantic_head(
        options,
        info,
        norm_settings(config.trainer_options.solver_options),
        encoder_activation=ACTIVATION,
        activation=ACTIVATION,
        pooling_window=pooling_window(config, stride),
    )

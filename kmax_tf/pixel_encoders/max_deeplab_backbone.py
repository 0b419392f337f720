"""The part of MaX-DeepLab that ImageNet trains; also a pixel encoder of its own."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.axial_resnet import ThreeConvStem
from kmax_tf.pixel_encoders.base import PixelEncoder
from kmax_tf.pixel_encoders.max_deeplab_sizes import MaXDeepLabSize
from kmax_tf.pixel_encoders.max_deeplab_stages import (
    AfterBlock,
    StageOptions,
    make_blocks,
    make_fuses,
    run_stage,
)
from kmax_tf.structures import FeaturePyramid


class MaXDeepLabBackbone(PixelEncoder):
    """Stem and residual stages at output stride 16, with axial attention from stride 16 on.

    Result: `stage1` (stride 2) to `stage5` (stride 16); the large variant adds `decoder_stage1` to
    `decoder_stage4`, of which the last (stride 16) is the feature that ImageNet classifies.

    Args:
      size: a row of `MAX_DEEPLAB_SIZES`.
      drop_path_keep_prob: probability to keep a residual branch of the deepest blocks in training.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        size: Sequence[Any],
        *,
        drop_path_keep_prob: float,
        norm: NormSettings,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        size = MaXDeepLabSize.of(size)
        norm = NormSettings(*norm)
        self.options = StageOptions(size, drop_path_keep_prob, activation, norm)
        self.activation = activation
        self.stage_sizes = tuple(stage for stage in size.stages if not stage.extra)
        self.strides = {stage.name: stage.feature_stride for stage in self.stage_sizes}
        self.channels = {stage.name: stage.channels for stage in self.stage_sizes}
        if size.three_conv_stem:
            self.stem = ThreeConvStem(
                size.stem_width, activation=activation, norm=norm, name="stem"
            )
            self.strides["stage1"] = 2
            self.channels["stage1"] = self.stem.channels
        else:
            self.stem = ConvNorm(size.stem_width, kernel_size=3, strides=2, norm=norm, name="stem")
        self.stages = {stage.name: make_blocks(stage, self.options) for stage in self.stage_sizes}
        self.fuses = make_fuses(self.stage_sizes, self.options)

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        after_block: Optional[AfterBlock] = None,
    ) -> FeaturePyramid:
        """Encodes.

        Args:
          images: float [B, H, W, 3], scaled to -1..1.
          training: whether batch statistics and drop path are used.
          after_block: applied to the result of each residual block; `None` = identity.

        Returns:
          Name of each stage -> raw feature, in the order of execution.
        """
        features = self.stem(images, training=training)
        pyramid = {} if "stage1" in self.stages else {"stage1": features}
        for stage in self.stage_sizes:
            features = run_stage(
                stage,
                blocks=self.stages[stage.name],
                fuse=self.fuses.get(stage.name),
                features=features,
                pyramid=pyramid,
                after_block=after_block,
                training=training,
            )
            pyramid[stage.name] = features
        return pyramid

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.options.size.as_values(),
            "drop_path_keep_prob": self.options.drop_path_keep_prob,
            "norm": tuple(self.options.norm),
            "activation": self.activation,
        }

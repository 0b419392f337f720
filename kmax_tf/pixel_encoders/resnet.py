"""ResNet without max-pooling (Deep Residual Learning, https://arxiv.org/abs/1512.03385)."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.base import PixelEncoder
from kmax_tf.pixel_encoders.resnet_blocks import EXPANSION, BottleneckBlock, ResidualBlock
from kmax_tf.structures import FeaturePyramid


class ResNet(PixelEncoder):
    """Bottleneck ResNet whose stride 4 comes from stage 2, so that there is no max-pooling.

    Result: `stage1` (raw stem, stride 2) to `stage5` (`output_stride`).

    Usage:
      encoder = ResNet(
          **RESNET_SIZES["resnet_50"]._asdict(),
          drop_path_keep_prob=1.0,
          norm=NormSettings(momentum=0.99, epsilon=1e-3, sync=True),
      )
      stage5 = encoder(images)["stage5"]  # images [B, H, W, 3] in -1..1

    Args:
      depths: blocks of stages 2..5.
      widths: base widths of stages 2..5.
      stem_width: channels of the stem.
      drop_path_keep_prob: probability to keep a residual branch of the deepest blocks in training;
        blocks that read stride 16 drop three quarters as often, earlier ones never.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
      output_stride: of `stage5`: 32, or 16 where the last stage keeps the size. Which blocks drop
        paths (and how often) does not depend on it.

    Raises:
      ValueError: `depths` or `widths` do not have four entries, or another output stride.
    """

    def __init__(
        self,
        *,
        depths: Sequence[int],
        widths: Sequence[int],
        stem_width: int,
        drop_path_keep_prob: float,
        norm: NormSettings,
        activation: str = "relu",
        output_stride: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if output_stride not in (16, 32):
            raise ValueError(f"`output_stride` accepts 16 or 32; received {output_stride}.")
        for name, values in (("depths", depths), ("widths", widths)):
            if len(values) != 4:
                raise ValueError(f"`{name}` needs 4 entries; received {tuple(values)}.")
        self.depths = tuple(depths)
        self.widths = tuple(widths)
        self.stem_width = stem_width
        self.drop_path_keep_prob = drop_path_keep_prob
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        self.output_stride = output_stride
        self.strides = {f"stage{i}": min(2**i, output_stride) for i in range(1, 6)}
        self.stem = self._make_stem()
        self.channels = {"stage1": self.stem.channels}
        self.stages = []
        for number, (depth, width) in enumerate(zip(self.depths, self.widths), start=2):
            self.channels[f"stage{number}"] = EXPANSION * width
            self.stages.append(self._make_stage(number, depth, width))

    def _make_stem(self) -> tf.keras.layers.Layer:
        # The first block activates the stem's output.
        return ConvNorm(
            self.stem_width, kernel_size=7, strides=2, norm=self.norm_settings, name="stem"
        )

    def _make_stage(self, number: int, depth: int, width: int) -> List[ResidualBlock]:
        nominal_stride = 2**number
        blocks = []
        for block in range(1, depth + 1):
            strides = 2 if block == 1 and nominal_stride <= self.output_stride else 1
            # Published models count as if every stage halved the size.
            input_stride = nominal_stride // 2 if block == 1 else nominal_stride
            name = f"stage{number}_block{block}"
            blocks.append(self._make_block(width, strides, input_stride, name))
        return blocks

    def _make_block(self, width: int, strides: int, input_stride: int, name: str) -> ResidualBlock:
        return BottleneckBlock(
            width,
            strides=strides,
            activation=self.activation,
            drop_path_keep_prob=self._keep_prob(input_stride),
            norm=self.norm_settings,
            name=name,
        )

    def _keep_prob(self, input_stride: int) -> float:
        share = {16: 0.75, 32: 1.0}.get(input_stride, 0.0)
        return 1.0 - share * (1.0 - self.drop_path_keep_prob)

    def call(self, images: tf.Tensor, training: bool = False) -> FeaturePyramid:
        features = self.stem(images, training=training)
        pyramid = {"stage1": features}
        for index, blocks in enumerate(self.stages):
            for block in blocks:
                features = block(features, training=training)
            pyramid[f"stage{index + 2}"] = features
        return pyramid

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "depths": self.depths,
            "widths": self.widths,
            "stem_width": self.stem_width,
            "drop_path_keep_prob": self.drop_path_keep_prob,
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
            "output_stride": self.output_stride,
        }

"""ResNet with axial attention from stride 16 on (Axial-DeepLab, MaX-DeepLab)."""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.axial_blocks import AxialBlock
from kmax_tf.pixel_encoders.resnet import ResNet
from kmax_tf.pixel_encoders.resnet_blocks import ResidualBlock

_FIRST_AXIAL_STRIDE = 16
"""Blocks that read this stride or a larger one attend instead of convolving."""


class ThreeConvStem(tf.keras.layers.Layer):
    """Three 3x3 convolutions, the first with stride 2, the last raw and twice as wide.

    Input: float [B, H, W, 3]. Result: raw [B, ceil(H / 2), ceil(W / 2), channels].

    Args:
      width: channels of the first two convolutions.
      activation: `relu` or `gelu`.
      norm: settings of the batch norms.
    """

    def __init__(self, width: int, *, activation: str, norm: NormSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.channels = 2 * width
        self.activation = activation
        self.norm_settings = NormSettings(*norm)
        options = {"kernel_size": 3, "norm": norm}
        self.conv1 = ConvNorm(width, strides=2, activation=activation, name="conv1", **options)
        self.conv2 = ConvNorm(width, activation=activation, name="conv2", **options)
        self.conv3 = ConvNorm(self.channels, name="conv3", **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = self.conv1(inputs, training=training)
        features = self.conv2(features, training=training)
        return self.conv3(features, training=training)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "activation": self.activation,
            "norm": tuple(self.norm_settings),
        }


class AxialResNet(ResNet):
    """ResNet whose blocks attend along the axes where they read stride 16 or more.

    That is stage 4 from its second block on and all of stage 5. With GELU and output stride 32 the
    encoder of kMaX-DeepLab (https://arxiv.org/abs/2207.04044), with ReLU and output stride 16 that
    of MaX-DeepLab-S (https://arxiv.org/abs/2012.00759).

    Result: `stage1` (raw stem, stride 2, 2 * `stem_width` channels) to `stage5` (`output_stride`).

    Usage:
      encoder = AxialResNet(
          **AXIAL_RESNET_SIZES["axial_resnet_50"]._asdict(),
          drop_path_keep_prob=0.8,
          norm=NormSettings(momentum=0.99, epsilon=1e-3, sync=True),
      )
      stage5 = encoder(images)["stage5"]  # images [B, H, W, 3] in -1..1

    Args:
      num_heads: of the axial attention; divides the widths of the attending blocks.
      activation: `gelu` or `relu`.
      **kwargs: of `ResNet`; `stem_width` is that of the stem's first two convolutions.
    """

    def __init__(self, *, num_heads: int = 8, activation: str = "gelu", **kwargs: Any) -> None:
        self.num_heads = num_heads  # The base class makes the blocks.
        super().__init__(activation=activation, **kwargs)

    def _make_stem(self) -> tf.keras.layers.Layer:
        return ThreeConvStem(
            self.stem_width, activation=self.activation, norm=self.norm_settings, name="stem"
        )

    def _make_block(self, width: int, strides: int, input_stride: int, name: str) -> ResidualBlock:
        if input_stride < _FIRST_AXIAL_STRIDE:
            return super()._make_block(width, strides, input_stride, name)
        return AxialBlock(
            width,
            num_heads=self.num_heads,
            strides=strides,
            activation=self.activation,
            drop_path_keep_prob=self._keep_prob(input_stride),
            norm=self.norm_settings,
            name=name,
        )

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}

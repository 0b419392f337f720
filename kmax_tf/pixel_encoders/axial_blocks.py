"""Residual block with axial attention in place of the 3x3 convolution."""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.axial_attention import AxialAttention2D
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.pixel_encoders.resnet_blocks import EXPANSION, ResidualBlock


class AxialBlock(ResidualBlock):
    """1x1 to 2 * `width`, axial attention, activation, 1x1 to 4 * `width`.

    Args:
      width: base width; keys have `width` channels over all heads, values twice as many.
      num_heads: divides `width`.
      **kwargs: of `ResidualBlock`.
    """

    def __init__(self, width: int, *, num_heads: int = 8, **kwargs: Any) -> None:
        super().__init__(width, **kwargs)
        self.num_heads = num_heads
        norm = self.norm_settings
        self.conv1 = ConvNorm(2 * width, norm=norm, activation=self.activation, name="conv1")
        self.attention = AxialAttention2D(
            key_width=width,
            value_width=2 * width,
            num_heads=num_heads,
            norm=norm,
            strides=self.strides,
            name="attention",
        )
        self.conv3 = ConvNorm(EXPANSION * width, norm=norm, gamma=0.0, name="conv3")
        self._activate_retrieved = activation_function(self.activation)

    def branch(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        features = self.conv1(inputs, training=training)
        features = self._activate_retrieved(self.attention(features, training=training), training)
        return self.conv3(features, training=training)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}

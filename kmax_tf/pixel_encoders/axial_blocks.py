"""Residual block with axial attention in place of the 3x3 convolution."""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.axial_attention import AxialAttention2D
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.pixel_encoders.resnet_blocks import ResidualBlock


class AxialBlock(ResidualBlock):
    """1x1 convolution, axial attention, activation, 1x1 to 4 * `width`.

    Args:
      width: base width.
      num_heads: divides the channels of keys and of values.
      bottleneck_expansion: channels that the attention reads, per base width.
      key_expansion: channels of queries and of keys over all heads, per base width.
      value_expansion: channels of values over all heads, per base width.
      **kwargs: of `ResidualBlock`.
    """

    def __init__(
        self,
        width: int,
        *,
        num_heads: int = 8,
        bottleneck_expansion: int = 2,
        key_expansion: int = 1,
        value_expansion: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(width, **kwargs)
        self.num_heads = num_heads
        self.bottleneck_expansion = bottleneck_expansion
        self.key_expansion = key_expansion
        self.value_expansion = value_expansion
        norm = self.norm_settings
        self.conv1 = ConvNorm(
            bottleneck_expansion * width, norm=norm, activation=self.activation, name="conv1"
        )
        self.attention = AxialAttention2D(
            key_width=key_expansion * width,
            value_width=value_expansion * width,
            num_heads=num_heads,
            norm=norm,
            strides=self.strides,
            name="attention",
        )
        self.conv3 = ConvNorm(self.channels, norm=norm, gamma=0.0, name="conv3")
        self._activate_retrieved = activation_function(self.activation)

    def branch(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        features = self.conv1(inputs, training=training)
        features = self._activate_retrieved(self.attention(features, training=training), training)
        return self.conv3(features, training=training)

    def get_config(self) -> Dict[str, Any]:
        names = ("num_heads", "bottleneck_expansion", "key_expansion", "value_expansion")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

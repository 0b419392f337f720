"""Atrous spatial pyramid pooling (DeepLabV3, https://arxiv.org/abs/1706.05587)."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.layers.random_stream import draw_uniform
from kmax_tf.shapes import dimensions


class ASPP(tf.keras.layers.Layer):
    """Looks at a map at several scales: 1x1, dilated 3x3 and the mean of the whole map.

    Input: float [B, h, w, D]. Result: [B, h, w, channels].

    Args:
      channels: of each branch and of the result.
      atrous_rates: dilation of each 3x3 branch.
      dropout_rate: share of the result's elements that is dropped in training.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        channels: int,
        *,
        atrous_rates: Sequence[int],
        dropout_rate: float,
        norm: NormSettings,
        activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.atrous_rates = tuple(atrous_rates)
        self.dropout_rate = dropout_rate
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        options = {"norm": norm, "activation": activation}
        self.pointwise = ConvNorm(channels, name="pointwise", **options)
        self.atrous = [
            ConvNorm(channels, kernel_size=3, dilation=rate, name=f"atrous{rate}", **options)
            for rate in self.atrous_rates
        ]
        self.pooled = ConvNorm(channels, name="pooled", **options)
        self.projection = ConvNorm(channels, name="projection", **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        branches = [self.pointwise(inputs, training=training)]
        branches += [branch(inputs, training=training) for branch in self.atrous]
        mean = self.pooled(tf.reduce_mean(inputs, [1, 2], keepdims=True), training=training)
        branches.append(tf.broadcast_to(mean, tf.shape(branches[0])))
        outputs = self.projection(tf.concat(branches, -1), training=training)
        if training and self.dropout_rate > 0.0:
            kept = draw_uniform(dimensions(outputs)) >= self.dropout_rate
            scale = tf.cast(1.0 / (1.0 - self.dropout_rate), outputs.dtype)
            outputs = outputs * tf.where(kept, scale, tf.zeros_like(scale))
        return outputs

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "atrous_rates": self.atrous_rates,
            "dropout_rate": self.dropout_rate,
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
        }

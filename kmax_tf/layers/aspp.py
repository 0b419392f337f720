"""Atrous spatial pyramid pooling (DeepLabV3, https://arxiv.org/abs/1706.05587)."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import tensorflow as tf

from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.layers.random_stream import draw_uniform
from kmax_tf.shapes import Size, dimensions, resize_bilinear


class ASPP(tf.keras.layers.Layer):
    """Looks at a map at several scales: 1x1, dilated 3x3 and the mean of the whole map or a window.

    Input: float [B, h, w, D]. Result: [B, h, w, channels].

    Args:
      channels: of each branch and of the result.
      atrous_rates: dilation of each 3x3 branch.
      dropout_rate: share of the result's elements that is dropped in training.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
      pooling_window: height and width of the window whose mean, taken at every place where it fits
        into the map, is resized (aligned corners) to the map; along a side on which the map is no
        larger it is the whole side. `None` = the whole map.
    """

    def __init__(
        self,
        channels: int,
        *,
        atrous_rates: Sequence[int],
        dropout_rate: float,
        norm: NormSettings,
        activation: str,
        pooling_window: Optional[Sequence[int]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.atrous_rates = tuple(atrous_rates)
        self.dropout_rate = dropout_rate
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        self.pooling_window = None if pooling_window is None else tuple(pooling_window)
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
        mean = self.pooled(self._pool(inputs), training=training)
        if mean.shape[1:3] == [1, 1]:
            branches.append(tf.broadcast_to(mean, tf.shape(branches[0])))
        else:
            branches.append(resize_bilinear(mean, dimensions(inputs)[1:3]))
        outputs = self.projection(tf.concat(branches, -1), training=training)
        if training and self.dropout_rate > 0.0:
            kept = draw_uniform(dimensions(outputs)) >= self.dropout_rate
            scale = tf.cast(1.0 / (1.0 - self.dropout_rate), outputs.dtype)
            outputs = outputs * tf.where(kept, scale, tf.zeros_like(scale))
        return outputs

    def _pool(self, inputs: tf.Tensor) -> tf.Tensor:
        """Means over the window at stride 1: [B, h', w', D]."""
        window = self.pooling_window
        if window is None or all(
            size is not None and size <= side for size, side in zip(inputs.shape[1:3], window)
        ):
            return tf.reduce_mean(inputs, [1, 2], keepdims=True)
        # Products with banded matrices: their cost does not grow with the window.
        _, height, width, _ = dimensions(inputs)
        rows = _sliding_mean(height, window[0], inputs.dtype)
        columns = _sliding_mean(width, window[1], inputs.dtype)
        means = tf.einsum("ph,bhwd->bpwd", rows, inputs)
        return tf.einsum("qw,bpwd->bpqd", columns, means)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "atrous_rates": self.atrous_rates,
            "dropout_rate": self.dropout_rate,
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
            "pooling_window": self.pooling_window,
        }


def _sliding_mean(size: Size, window: int, dtype: tf.DType) -> tf.Tensor:
    """Matrix [size - window + 1, size] whose product with a column is its sliding mean."""
    window = tf.minimum(window, size)
    offsets = tf.range(size)[tf.newaxis] - tf.range(size - window + 1)[:, tf.newaxis]
    inside = tf.logical_and(offsets >= 0, offsets < window)
    return tf.cast(inside, dtype) / tf.cast(window, dtype)

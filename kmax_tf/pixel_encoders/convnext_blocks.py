"""The residual block of ConvNeXt and its convolutions."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import tensorflow as tf

from kmax_tf.layers.activation import gelu
from kmax_tf.layers.depthwise import depthwise_conv
from kmax_tf.layers.drop_path import DropPath
from kmax_tf.layers.norm import LayerNorm
from kmax_tf.shapes import dimensions

KERNEL_STD = 0.02
"""Standard deviation of all kernels before training."""

INITIAL_LAYER_SCALE = 1e-6

_EXPANSION = 4
"""Hidden channels of a block per channel."""


class PatchConv(tf.keras.layers.Layer):
    """Convolution with bias whose windows do not overlap.

    Input: float [B, h, w, D]. Result: [B, floor((h + padding) / size), ..., channels], where
    padding is the sum of both sides.

    Args:
      channels: of the result.
      size: of the window, and the stride.
      padding: zeros before and after the height and the width.
    """

    def __init__(
        self, channels: int, *, size: int, padding: Sequence[int] = (0, 0), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.size = size
        self.padding = tuple(padding)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.size, self.size, input_shape[-1], self.channels],
            initializer=tf.keras.initializers.TruncatedNormal(stddev=KERNEL_STD),
        )
        self.bias = self.add_weight(name="bias", shape=[self.channels], initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        padding: Any = (
            [[0, 0], self.padding, self.padding, [0, 0]] if any(self.padding) else "VALID"
        )
        return tf.nn.bias_add(tf.nn.conv2d(inputs, self.kernel, self.size, padding), self.bias)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "size": self.size,
            "padding": self.padding,
        }


class DepthwiseConv(tf.keras.layers.Layer):
    """Convolution with bias of every channel by itself; zeros outside the map.

    The kernel is stored as [size, size, 1, D], like that of a convolution with D groups.

    Input and result: float [B, h, w, D], same shape.

    Args:
      size: of the window, odd.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.size, self.size, 1, channels],
            initializer=tf.keras.initializers.TruncatedNormal(stddev=KERNEL_STD),
        )
        self.bias = self.add_weight(name="bias", shape=[channels], initializer="zeros")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.reshape(self.kernel, [self.size, self.size, -1, 1])
        outputs = depthwise_conv(inputs, kernel, training=training)
        return tf.nn.bias_add(outputs, self.bias)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "size": self.size}


class ConvNeXtBlock(tf.keras.layers.Layer):
    """Depthwise 7x7, layer norm, 1x1 to 4 * D, GELU, 1x1 to D, scale per channel; plus the input.

    Input and result: raw float [B, h, w, D], same shape.

    Args:
      drop_path_keep_prob: probability to keep the branch in training.
    """

    def __init__(self, *, drop_path_keep_prob: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop_path = DropPath(drop_path_keep_prob, name="drop_path")
        self.depthwise = DepthwiseConv(7, name="depthwise")
        self.norm = LayerNorm(name="norm")

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        channels = input_shape[-1]
        self.expand = _dense(_EXPANSION * channels, "expand")
        self.project = _dense(channels, "project")
        self.layer_scale = self.add_weight(
            name="layer_scale",
            shape=[1, 1, 1, channels],
            initializer=tf.keras.initializers.Constant(INITIAL_LAYER_SCALE),
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        # On a list of pixels TensorFlow fuses a product with its bias and, in newer versions, with
        # the built-in GELU; ours has the quicker gradient.
        features = self.depthwise(inputs, training=training)
        rows = tf.reshape(features, [-1, inputs.shape[-1]])
        hidden = self.expand(self.norm(rows, training=training))
        hidden = gelu(hidden, training) if training else tf.nn.gelu(hidden)
        residual = tf.reshape(self.project(hidden), dimensions(inputs)) * self.layer_scale
        return inputs + self.drop_path(residual, training=training)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "drop_path_keep_prob": self.drop_path.keep_prob}


def _dense(channels: int, name: str) -> tf.keras.layers.Dense:
    initializer = tf.keras.initializers.TruncatedNormal(stddev=KERNEL_STD)
    return tf.keras.layers.Dense(channels, kernel_initializer=initializer, name=name)

"""Residual blocks that activate their input and leave their output raw."""

from __future__ import annotations

from typing import Any, ClassVar, Dict

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.drop_path import DropPath
from kmax_tf.layers.norm import NormSettings
from kmax_tf.shapes import subsample

EXPANSION = 4
"""Output channels per base width of all blocks but `BasicBlock`."""


class ResidualBlock(tf.keras.layers.Layer):
    """`drop_path(branch(a)) + shortcut(a)` with `a = activation(input)`; subclasses give `branch`.

    The shortcut is a 1x1 convolution where the number of channels changes, otherwise the
    *activated* input (every `strides`-th pixel of it). Nothing is activated after the sum.

    Input: raw float [B, h, w, D]. Result: raw [B, ceil(h/strides), ceil(w/strides), `channels`],
    which is `expansion * width`.

    Args:
      width: base width.
      strides: of the block.
      activation: `relu` or `gelu`.
      drop_path_keep_prob: probability to keep the branch in training.
      norm: settings of the batch norms.
    """

    expansion: ClassVar[int] = EXPANSION

    def __init__(
        self,
        width: int,
        *,
        strides: int,
        activation: str,
        drop_path_keep_prob: float,
        norm: NormSettings,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.channels = self.expansion * width
        self.strides = strides
        self.activation = activation
        self.norm_settings = NormSettings(*norm)
        self.shortcut = None
        self.drop_path = DropPath(drop_path_keep_prob, name="drop_path")
        self._activate = activation_function(activation)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        if input_shape[-1] != self.channels:
            self.shortcut = ConvNorm(
                self.channels,
                strides=self.strides,
                norm=self.norm_settings,
                name="shortcut",
            )

    def branch(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        """The residual: activated [B, h, w, D] -> raw [B, h', w', `channels`]."""
        raise NotImplementedError

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        activated = self._activate(inputs, training)
        residual = self.drop_path(self.branch(activated, training), training=training)
        if self.shortcut is not None:
            return residual + self.shortcut(activated, training=training)
        return residual + subsample(activated, self.strides, self.strides)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "strides": self.strides,
            "activation": self.activation,
            "drop_path_keep_prob": self.drop_path.keep_prob,
            "norm": tuple(self.norm_settings),
        }


class BottleneckBlock(ResidualBlock):
    """1x1 to `width`, 3x3 with the stride, 1x1 to 4 * `width`.

    Args:
      width: base width.
      dilation: of the 3x3 convolution.
      **kwargs: of `ResidualBlock`.
    """

    def __init__(self, width: int, *, dilation: int = 1, **kwargs: Any) -> None:
        super().__init__(width, **kwargs)
        self.dilation = dilation
        options = {"norm": self.norm_settings, "activation": self.activation}
        self.conv1 = ConvNorm(width, name="conv1", **options)
        self.conv2 = ConvNorm(
            width,
            kernel_size=3,
            strides=self.strides,
            dilation=dilation,
            name="conv2",
            **options,
        )
        self.conv3 = ConvNorm(self.channels, norm=self.norm_settings, gamma=0.0, name="conv3")

    def branch(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        features = self.conv1(inputs, training=training)
        features = self.conv2(features, training=training)
        return self.conv3(features, training=training)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "dilation": self.dilation}


class BasicBlock(ResidualBlock):
    """3x3 to `width` with the stride, 3x3 to `width`; no expansion (wide ResNets).

    Args:
      width: channels of both convolutions and of the result.
      **kwargs: of `ResidualBlock`.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(width, **kwargs)
        options = {"kernel_size": 3, "norm": self.norm_settings}
        self.conv1 = ConvNorm(
            width, strides=self.strides, activation=self.activation, name="conv1", **options
        )
        self.last_conv = ConvNorm(width, gamma=0.0, name="last_conv", **options)

    def branch(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        return self.last_conv(self.conv1(inputs, training=training), training=training)

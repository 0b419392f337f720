"""Convolution, batch norm and activation as one layer: 2-D, 1-D (over slots) and separable."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple, Union

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.depthwise import depthwise_conv
from kmax_tf.layers.dilated_conv import dilated_conv
from kmax_tf.layers.norm import BatchNorm, NormSettings
from kmax_tf.layers.recompute import keep_product
from kmax_tf.layers.row_product import row_product
from kmax_tf.shapes import subsample


class ConvNorm(tf.keras.layers.Layer):
    """2-D convolution -> batch norm -> activation; without `norm`, convolution with bias.

    Strided convolutions pad symmetrically, so that output `i` is centred on input `stride * i`
    (Keras' 'same' would shift by a pixel on even sizes).

    Input: float [B, h, w, D]. Result: [B, ceil(h / strides), ceil(w / strides), channels].

    Args:
      channels: of the result.
      kernel_size: odd.
      norm: settings of the batch norm; `None` = a bias instead.
      strides: in both directions.
      dilation: in both directions.
      activation: `relu`, `gelu` or `None`.
      gamma: initial scale of the batch norm; 0 for the last one of a residual branch.
      kernel_std: standard deviation of the initial kernel; unset = He normal.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 1,
        norm: Optional[NormSettings],
        strides: int = 1,
        dilation: int = 1,
        activation: Optional[str] = None,
        gamma: float = 1.0,
        kernel_std: Optional[float] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation = dilation
        self.activation = activation
        self.gamma = gamma
        self.kernel_std = kernel_std
        self.norm_settings = None if norm is None else NormSettings(*norm)
        self.norm = None if norm is None else BatchNorm(norm, gamma=gamma, name="norm")
        self._activate = activation_function(activation)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.kernel_size, self.kernel_size, input_shape[-1], self.channels],
            initializer=_kernel_initializer(self.kernel_std),
        )
        self.bias = None
        if self.norm is None:
            self.bias = self.add_weight(name="bias", shape=[self.channels], initializer="zeros")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        bias, norm = _bias_and_norm(self.bias, self.norm, training)
        kernel = self._kernel_inside(inputs.shape[1:3])
        if kernel.shape[:2] == [1, 1]:
            # A plain product is up to twice as quick as a 1x1 convolution on small maps, and the
            # filter gradient of one with strides writes out of bounds in TensorFlow on some CPUs.
            inputs = subsample(inputs, self.strides, self.strides)
            rows = row_product(
                tf.reshape(inputs, [-1, inputs.shape[-1]]),
                tf.reshape(kernel, kernel.shape[2:]),
                training=training,
            )
            if bias is not None:  # Before the reshape: TensorFlow makes one operation of it.
                rows = self._activate(tf.nn.bias_add(rows, bias), training)
            outputs = tf.reshape(rows, _with_channels(inputs, self.channels))
        else:
            outputs = keep_product(
                lambda: self._convolve(inputs, kernel, training),
                depth=math.prod(kernel.shape[:3]),
            )
            if bias is not None:
                outputs = self._activate(tf.nn.bias_add(outputs, bias), training)
        if norm is None:
            return outputs
        return norm(outputs, training=training, activation=self._activate)

    def fold(self) -> None:
        """Folds the batch norm into kernel and bias, for good; see `BatchNorm.fold_into`."""
        if self.norm is not None and self.built:
            self.norm.fold_into(self.kernel)

    def _kernel_inside(self, size: tf.TensorShape) -> tf.Tensor:
        """The kernel without the taps that see nothing but padding, at whatever place.

        With a large dilation they are most of the work: on a map of 9 x 9, of a 3x3 kernel with
        dilation 12 or 18 only the middle remains.
        """
        reach = self.kernel_size // 2
        inside = [
            reach if n is None else min(reach, (n - 1) // self.dilation) for n in size.as_list()
        ]
        if self.strides > 1 or inside == [reach, reach]:
            return self.kernel
        # Not `kernel[...]`: the gradient of that is five times as slow as the padding of this.
        begin = [*(reach - taps for taps in inside), 0, 0]
        return tf.slice(self.kernel, begin, [*(2 * taps + 1 for taps in inside), -1, -1])

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, training: bool) -> tf.Tensor:
        if self.dilation > 1 and self.strides == 1:
            return dilated_conv(inputs, kernel, self.dilation, training=training)
        padding = self._padding(inputs.shape[1:3])
        return tf.nn.conv2d(inputs, kernel, self.strides, padding, dilations=self.dilation)

    def _padding(self, size: tf.TensorShape) -> Union[str, List[List[int]]]:
        # On sizes of the form strides * m + 1 'same' is symmetric too; its gradients are quicker.
        if self.strides == 1 or all(n is not None and n % self.strides == 1 for n in size):
            return "SAME"
        side = [self.dilation * (self.kernel_size - 1) // 2] * 2
        return [[0, 0], side, side, [0, 0]]

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "norm": self.norm_settings and tuple(self.norm_settings),
            "strides": self.strides,
            "dilation": self.dilation,
            "activation": self.activation,
            "gamma": self.gamma,
            "kernel_std": self.kernel_std,
        }


class LinearNorm(tf.keras.layers.Layer):
    """1-D convolution of size 1 -> batch norm -> activation; without `norm`, with bias.

    The kernel is stored as [1, D, channels], like that of a 1-D convolution.

    Input: float [..., D]. Result: [..., channels].

    Args:
      channels: of the result.
      norm: settings of the batch norm; `None` = a bias instead.
      activation: `relu`, `gelu` or `None`.
      gamma: initial scale of the batch norm; 0 for the last one of a residual branch.
      kernel_std: standard deviation of the initial kernel; unset = He normal.
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: Optional[NormSettings],
        activation: Optional[str] = None,
        gamma: float = 1.0,
        kernel_std: Optional[float] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.activation = activation
        self.gamma = gamma
        self.kernel_std = kernel_std
        self.norm_settings = None if norm is None else NormSettings(*norm)
        self.norm = None if norm is None else BatchNorm(norm, gamma=gamma, name="norm")
        self._activate = activation_function(activation)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=[1, input_shape[-1], self.channels],
            initializer=_kernel_initializer(self.kernel_std),
        )
        self.bias = None
        if self.norm is None:
            self.bias = self.add_weight(name="bias", shape=[self.channels], initializer="zeros")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        outputs = row_product(
            tf.reshape(inputs, [-1, inputs.shape[-1]]),
            tf.reshape(self.kernel, self.kernel.shape[1:]),
            training=training,
        )
        bias, norm = _bias_and_norm(self.bias, self.norm, training)
        if norm is None:
            outputs = self._activate(tf.nn.bias_add(outputs, bias), training)
        else:
            # Four dimensions are what the fused batch norm takes without further reshapes.
            outputs = tf.reshape(outputs, [-1, 1, 1, self.channels])
            outputs = norm(outputs, training=training, activation=self._activate)
        return tf.reshape(outputs, _with_channels(inputs, self.channels))

    def fold(self) -> None:
        """Folds the batch norm into kernel and bias, for good; see `BatchNorm.fold_into`."""
        if self.norm is not None and self.built:
            self.norm.fold_into(self.kernel)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "norm": self.norm_settings and tuple(self.norm_settings),
            "activation": self.activation,
            "gamma": self.gamma,
            "kernel_std": self.kernel_std,
        }


class DepthwiseConvNorm(tf.keras.layers.Layer):
    """Depthwise convolution with 'same' padding -> batch norm -> activation.

    Input and result: float [B, h, w, D], same shape.

    Args:
      kernel_size: odd.
      norm: settings of the batch norm.
      activation: `relu`, `gelu` or `None`.
    """

    def __init__(
        self, *, kernel_size: int, norm: NormSettings, activation: Optional[str], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.activation = activation
        self.norm = BatchNorm(norm, name="norm")
        self._activate = activation_function(activation)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=[self.kernel_size, self.kernel_size, input_shape[-1], 1],
            initializer="glorot_uniform",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        outputs = depthwise_conv(inputs, self.depthwise_kernel, training=training)
        bias, norm = _bias_and_norm(None, self.norm, training)
        if norm is None:
            return self._activate(tf.nn.bias_add(outputs, bias), training)
        return norm(outputs, training=training, activation=self._activate)

    def fold(self) -> None:
        """Folds the batch norm into kernel and bias, for good; see `BatchNorm.fold_into`."""
        if self.built:
            self.norm.fold_into(self.depthwise_kernel, axis=-2)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "norm": tuple(self.norm.norm),
            "activation": self.activation,
        }


class SeparableConvNorm(tf.keras.layers.Layer):
    """Depthwise and pointwise convolution, each with its own batch norm and activation.

    Input: float [B, h, w, D]. Result: [B, h, w, channels].

    Args:
      channels: of the result.
      kernel_size: of the depthwise part, odd.
      norm: settings of the batch norms.
      activation: `relu`, `gelu` or `None`.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 5,
        norm: NormSettings,
        activation: Optional[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.depthwise = DepthwiseConvNorm(
            kernel_size=kernel_size, norm=norm, activation=activation, name="depthwise"
        )
        self.pointwise = ConvNorm(channels, norm=norm, activation=activation, name="pointwise")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def get_config(self) -> Dict[str, Any]:
        config = self.depthwise.get_config()
        return {
            **super().get_config(),
            "channels": self.channels,
            **{key: config[key] for key in ("kernel_size", "norm", "activation")},
        }


def _bias_and_norm(
    bias: Optional[tf.Variable], norm: Optional[BatchNorm], training: bool
) -> Tuple[Optional[tf.Tensor], Optional[BatchNorm]]:
    """What follows the kernel: a bias, or a batch norm that is not folded; the other is `None`."""
    if norm is None:
        return bias, None
    left = norm.bias_of_kernel(training)
    return (None, norm) if left is None else (left, None)


def _kernel_initializer(std: Optional[float]) -> tf.keras.initializers.Initializer:
    if std is None:
        return tf.keras.initializers.HeNormal()
    return tf.keras.initializers.TruncatedNormal(stddev=std)


def _with_channels(inputs: tf.Tensor, channels: int) -> Any:
    """Shape of `inputs` with other channels, for `tf.reshape`; a list where that is enough."""
    sizes = inputs.shape.as_list()[:-1]
    if sizes.count(None) > 1:
        return tf.concat([tf.shape(inputs)[:-1], [channels]], 0)
    return [-1 if size is None else size for size in sizes] + [channels]

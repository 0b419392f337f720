"""Depthwise convolution, with a filter gradient that CPUs are quick at."""

from __future__ import annotations

from typing import Callable, List, Tuple

import tensorflow as tf

from kmax_tf.layers.device import is_cpu
from kmax_tf.layers.gradient import with_gradient

_STRIDES = [1, 1, 1, 1]
# The widest window whose filter gradient oneDNN has quick code for, whatever its height. One of
# 5 x 5 at 161 x 161 x 256 takes 17 times as long as one of 5 x 3.
_QUICK_WIDTH = 3
# In wider windows, columns can lie entirely beside a map of one column; no model has any.
_WIDEST = 7


def depthwise_conv(inputs: tf.Tensor, kernel: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Convolution of every channel by itself, with zeros outside the map.

    Args:
      inputs: float [B, h, w, D].
      kernel: same type, [size, size, D, 1]; size is odd.
      training: whether a filter gradient is to be expected; the values are the same.

    Returns:
      Like `inputs`.
    """
    is_slow = _QUICK_WIDTH < kernel.shape[1] <= _WIDEST and is_cpu()
    # In bfloat16 the narrow windows would be summed in bfloat16: errors of several per cent.
    if training and is_slow and inputs.dtype == tf.float32:
        return _depthwise_conv_for_cpu(inputs, kernel)
    return tf.nn.depthwise_conv2d(inputs, kernel, _STRIDES, "SAME")


@with_gradient
def _depthwise_conv_for_cpu(inputs: tf.Tensor, kernel: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        of_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(inputs),
            filter=kernel,
            out_backprop=upstream,
            strides=_STRIDES,
            padding="SAME",
        )
        return of_inputs, _filter_gradient(inputs, upstream, kernel.shape)

    return tf.nn.depthwise_conv2d(inputs, kernel, _STRIDES, "SAME"), gradient


def _filter_gradient(inputs: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The gradient of a wide kernel, a few of its columns at a time.

    Args:
      inputs: float [B, h, w, D].
      upstream: gradient of the result, like `inputs`.
      shape: [size, size, D, 1] of the kernel.
    """
    size = int(shape[0])
    above, left = (size - 1) // 2, (int(shape[1]) - 1) // 2
    parts: List[tf.Tensor] = []
    done = 0
    while done < size:
        # The last window begins early enough to fit, and gives some columns once more.
        begin = min(done, size - _QUICK_WIDTH)
        # Columns of the input, relative to that of the result, that the window's ends are at.
        first, last = begin - left, begin - left + _QUICK_WIDTH - 1
        part = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=inputs[:, :, max(first, 0) : min(last, 0) or None],
            filter_sizes=[size, _QUICK_WIDTH, *shape[2:]],
            out_backprop=upstream,
            strides=_STRIDES,
            padding="EXPLICIT",
            explicit_paddings=[
                *(0, 0),
                *(above, size - 1 - above),
                *(max(-first, 0), max(last, 0)),
                *(0, 0),
            ],
        )
        parts.append(part[:, done - begin :])
        done = begin + _QUICK_WIDTH
    return tf.concat(parts, axis=1)

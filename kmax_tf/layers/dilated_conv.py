"""Convolution with a dilation so large that most of it would read padding."""

from __future__ import annotations

import math
from typing import List, Tuple

import tensorflow as tf

from kmax_tf.layers.device import is_cpu

# Of all pairs of a place and a tap. oneDNN passes over some of those that read padding; above this
# share one convolution is as quick as a product for every tap, forward and backward.
_FEW_READ_THE_MAP = 0.4


def dilated_conv(
    inputs: tf.Tensor, kernel: tf.Tensor, dilation: int, *, training: bool
) -> tf.Tensor:
    """Convolution with stride 1 and zeros outside the map.

    Args:
      inputs: float [B, h, w, D].
      kernel: same type, [size, size, D, channels]; sizes are odd.
      dilation: in both directions.
      training: whether gradients are to be expected; the values are the same.

    Returns:
      [B, h, w, channels].
    """
    # Products are added up in the type of the features: only float32 loses nothing.
    by_taps = training and inputs.dtype == tf.float32 and is_cpu()
    if by_taps and _share_inside(inputs.shape, kernel.shape, dilation) <= _FEW_READ_THE_MAP:
        return _sum_over_taps(inputs, kernel, dilation)
    return tf.nn.conv2d(inputs, kernel, 1, "SAME", dilations=dilation)


def _share_inside(size: tf.TensorShape, kernel: tf.TensorShape, dilation: int) -> float:
    """Share of pairs of a place and a tap that read the map; 1 for sizes that are not static."""
    if None in size[1:3]:
        return 1.0
    shares = [
        sum(last - first for first, last in _spans(n, taps, dilation)) / (n * taps)
        for n, taps in zip(size[1:3], kernel[:2])
    ]
    return math.prod(shares)


def _sum_over_taps(inputs: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """For every tap, the product of the places that it reads; what it does not reach is zero."""
    _, height, width, depth = inputs.shape
    taps = iter(tf.unstack(tf.reshape(kernel, [-1, *kernel.shape[2:]])))
    rows, columns = (
        _spans(n, count, dilation) for n, count in zip((height, width), kernel.shape[:2])
    )
    terms: List[tf.Tensor] = []
    for top, bottom in rows:
        for left, right in columns:
            tap = next(taps)
            if top == bottom or left == right:
                continue
            # A span is read at its mirror image: what a tap above gives lands below.
            read = inputs[:, height - bottom : height - top, width - right : width - left]
            product = tf.matmul(tf.reshape(read, [-1, depth]), tap)
            product = tf.reshape(product, [-1, bottom - top, right - left, kernel.shape[-1]])
            beside = [[0, 0], [top, height - bottom], [left, width - right], [0, 0]]
            terms.append(tf.pad(product, beside))
    return tf.add_n(terms)


def _spans(size: int, taps: int, dilation: int) -> List[Tuple[int, int]]:
    """For every tap the places [first, last) at which it reads the map."""
    shifts = [(tap - taps // 2) * dilation for tap in range(taps)]
    return [(min(max(-s, 0), size), max(size - max(s, 0), 0)) for s in shifts]

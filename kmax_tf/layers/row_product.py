"""Rows times a kernel, with an input gradient that is quick for few rows."""

from __future__ import annotations

from typing import Callable, Tuple

import tensorflow as tf

from kmax_tf.layers.gradient import with_gradient
from kmax_tf.layers.recompute import keep_product

# Up to so many rows, and from so many channels of the result on, the product with the transposed
# kernel takes up to twice as long as that of the kernel with the transposed rows: each thread of
# oneDNN arranges the whole kernel anew for its few rows.
_FEW_ROWS = 128
_MANY_CHANNELS = 1024


def row_product(rows: tf.Tensor, kernel: tf.Tensor, *, training: bool) -> tf.Tensor:
    """`rows @ kernel`.

    Args:
      rows: float [R, D].
      kernel: same type, [D, channels].
      training: whether a gradient is to be expected; the values are the same.

    Returns:
      [R, channels].
    """
    count = rows.shape[0]
    few = training and count and count <= _FEW_ROWS and kernel.shape[1] >= _MANY_CHANNELS
    product = _product_of_few if few else tf.matmul
    return keep_product(lambda: product(rows, kernel), depth=kernel.shape[0])


@with_gradient
def _product_of_few(rows: tf.Tensor, kernel: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        of_rows = tf.transpose(tf.matmul(kernel, upstream, transpose_b=True))
        return of_rows, tf.matmul(rows, upstream, transpose_a=True)

    return tf.matmul(rows, kernel), gradient

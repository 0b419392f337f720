"""From slots to segments: stuff of one class becomes one segment, small segments become void."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import tensorflow as tf

from kmax_tf import labels


class SlotSegments(NamedTuple):
    """What each slot contributes to the panoptic map.

    Attributes:
      pixel_value: int32 [B, Q], what the slot's pixels hold in the panoptic map.
      segment_class: int32 [B, Q], as in `PanopticPrediction`.
      segment_id: int32 [B, Q], as in `PanopticPrediction`.
      segment_score: float32 [B, Q], as in `PanopticPrediction`.
    """

    pixel_value: tf.Tensor
    segment_class: tf.Tensor
    segment_id: tf.Tensor
    segment_score: tf.Tensor


def merge_slots(
    *,
    area: tf.Tensor,
    channel: tf.Tensor,
    mask_id: tf.Tensor,
    score: tf.Tensor,
    channel_ids: Sequence[int],
    num_things: int,
    label_divisor: int,
    void_panoptic: int,
    thing_area_limit: int,
    stuff_area_limit: int,
) -> SlotSegments:
    """Merges stuff, applies the area limits and names the segments.

    Args:
      area: int32 [B, Q], pixels that the slot holds (0 = not accepted).
      channel: int32 [B, Q], class channel.
      mask_id: int32 [B, Q], instance number of the slot, from 1.
      score: float32 [B, Q].
      channel_ids: data-set class id of each channel, things first.
      num_things: how many of them are things.
      label_divisor: of the panoptic encoding.
      void_panoptic: value of void.
      thing_area_limit: a thing with fewer pixels becomes void.
      stuff_area_limit: a stuff class with fewer pixels over all its slots becomes void.

    Returns:
      The `SlotSegments`; merged stuff keeps one row, the one of its best slot.

    Raises:
      ValueError: `label_divisor` is not larger than Q.
    """
    require_room_for_slots(label_divisor, slot_count(channel))
    is_thing = channel < num_things
    class_id = tf.gather(tf.constant(channel_ids, tf.int32), channel)
    member = tf.one_hot(channel, len(channel_ids), dtype=tf.int32)
    class_area = tf.reduce_sum(member * tf.expand_dims(area, -1), axis=1)
    stuff_area = tf.gather(class_area, channel, batch_dims=1)
    kept = tf.where(is_thing, area >= thing_area_limit, stuff_area >= stuff_area_limit)
    kept = tf.logical_and(kept, area > 0)
    panoptic = labels.panoptic_id(class_id, tf.where(is_thing, mask_id, 0), label_divisor)

    # The best slot of a stuff class speaks for it: the first one with the largest score.
    candidate = tf.expand_dims(tf.where(kept, score, -1.0), -1)
    best_of_class = tf.argmax(tf.where(member > 0, candidate, -2.0), axis=1, output_type=tf.int32)
    slot = tf.range(tf.shape(channel)[1])
    is_best = tf.equal(tf.gather(best_of_class, channel, batch_dims=1), slot)
    row = tf.logical_and(kept, tf.logical_or(is_thing, is_best))
    return SlotSegments(
        pixel_value=tf.where(kept, panoptic, void_panoptic),
        segment_class=tf.where(row, class_id, -1),
        segment_id=tf.where(row, panoptic, -1),
        segment_score=tf.where(row, score, 0.0),
    )


def require_room_for_slots(label_divisor: int, num_slots: int) -> None:
    """Raises ValueError where instance numbers, 1 to Q, would run into the next class."""
    if num_slots >= label_divisor:
        raise ValueError(
            f"`label_divisor` of the data set ({label_divisor}) must be larger than the number of "
            f"mask slots ({num_slots}): they number the instances."
        )


def slot_count(per_slot: tf.Tensor) -> int:
    """Q of a tensor [B, Q, ...], which has to be static, unlike B."""
    num_slots = per_slot.shape[1]
    if num_slots is None:
        raise ValueError(
            f"`class_logits` needs a static number of slots; received {per_slot.shape}."
        )
    return num_slots


def paint(best: tf.Tensor, per_slot: tf.Tensor, empty: float) -> tf.Tensor:
    """Looks up a value per slot at every pixel.

    Args:
      best: int32 [B, H, W], slot of the pixel, Q where it has none.
      per_slot: [B, Q], int32 or float32.
      empty: value of pixels without a slot.

    Returns:
      [B, H, W], dtype of `per_slot`.
    """
    table = tf.pad(per_slot, [[0, 0], [0, 1]], constant_values=tf.cast(empty, per_slot.dtype))
    return tf.gather(table, best, batch_dims=1)


def count_pixels(slot: tf.Tensor, num_bins: int) -> tf.Tensor:
    """Histogram per image.

    Args:
      slot: int32 [B, ...], values in [0, num_bins).
      num_bins: number of different values.

    Returns:
      int32 [B, num_bins].
    """
    num_images = tf.shape(slot)[0]
    flat = tf.reshape(slot, [num_images, -1]) + tf.range(num_images)[:, tf.newaxis] * num_bins
    counts = tf.math.unsorted_segment_sum(
        tf.ones_like(flat), flat, num_segments=num_images * num_bins
    )
    return tf.reshape(counts, [num_images, num_bins])

"""The PQ-style mask term: dice between each segment and its slot."""

from __future__ import annotations

import tensorflow as tf


def dice_loss(intersection: tf.Tensor, slot_area: tf.Tensor, segment_area: tf.Tensor) -> tf.Tensor:
    """One minus the smoothed dice coefficient.

    Args:
      intersection: float32 [..., N], slot probability summed over the segment.
      slot_area: float32 [..., N], slot probability summed over all pixels that count.
      segment_area: float32 [..., N] (broadcast), in pixels.

    Returns:
      float32 [..., N] in 0..1.
    """
    return 1.0 - (2.0 * intersection + 1.0) / (slot_area + segment_area + 1.0)


def mask_dice_loss(
    losses: tf.Tensor, matched: tf.Tensor, class_similarity: tf.Tensor, num_slots: int
) -> tf.Tensor:
    """Joins the dice losses of an image (arXiv:2012.00759, equation 11).

    Each is weighted by the probability of the right class at its slot. The sum is divided by the
    number of slots, not of segments, as in the reference implementation (deeplab2).

    Args:
      losses: float32 [L, B, N].
      matched: bool [B, N].
      class_similarity: float32 [B, N], of the matched pairs, without gradient.
      num_slots: Q.

    Returns:
      float32 [L, B].
    """
    weight = tf.where(matched, tf.maximum(class_similarity, 1e-5), 0.0)
    return (0.75 / num_slots) * tf.reduce_sum(weight * losses, axis=-1)

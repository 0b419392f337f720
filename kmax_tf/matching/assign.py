"""From similarities to an `Assignment` of target segments to mask slots."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.matching.hungarian import solve_assignment
from kmax_tf.structures import Assignment


def assign_segments(
    mask_similarity: tf.Tensor, class_similarity: tf.Tensor, exists: tf.Tensor
) -> Assignment:
    """Matches existing segments one-to-one with slots so that the summed product is the largest.

    With more existing segments than slots, the best ones are matched, one per slot.

    Args:
      mask_similarity: float32 [B, N, Q].
      class_similarity: float32 [B, N, Q].
      exists: bool [B, N].

    Returns:
      The assignment. It carries no gradient.
    """
    mask_similarity = tf.stop_gradient(mask_similarity)
    class_similarity = tf.stop_gradient(class_similarity)
    column = solve_assignment(-mask_similarity * class_similarity, exists)
    matched = column >= 0
    slot = tf.maximum(column, 0)

    def of_pair(similarity: tf.Tensor) -> tf.Tensor:
        return tf.where(matched, tf.gather(similarity, slot, batch_dims=2), 0.0)

    return Assignment(
        slot_of_segment=slot,
        matched=matched,
        mask_similarity=of_pair(mask_similarity),
        class_similarity=of_pair(class_similarity),
    )


def segment_of_slot(assignment: Assignment, num_slots: int) -> tf.Tensor:
    """The inverse of an assignment.

    Args:
      assignment: `slot_of_segment` and `matched` [B, N].
      num_slots: Q.

    Returns:
      int32 [B, Q], the segment of each slot, -1 for slots without one.
    """
    slot = tf.where(assignment.matched, assignment.slot_of_segment, -1)
    holds = slot[:, :, tf.newaxis] == tf.range(num_slots)
    segments = tf.range(slot.shape[1])[:, tf.newaxis]
    return tf.reduce_max(tf.where(holds, segments, -1), axis=1)

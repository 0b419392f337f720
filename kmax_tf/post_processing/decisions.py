"""The decisions about slots, put together for somebody who wants to know why."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.post_processing.scores import ClassScores
from kmax_tf.structures import DatasetInfo, MaskPrediction, SlotDecisions, Verdict


def slot_decisions(
    prediction: MaskPrediction,
    *,
    dropped: tf.Tensor,
    classes: ClassScores,
    score: tf.Tensor,
    claimed_area: tf.Tensor,
    free_area: tf.Tensor,
    pixel_value: tf.Tensor,
    best_slot: tf.Tensor,
    best_probability: tf.Tensor,
    info: DatasetInfo,
) -> SlotDecisions:
    """Completes what a post-processor knows about its slots.

    Args:
      prediction: class_logits [B, Q, C+1] are read.
      dropped: int32 [B, Q], the verdict on each slot in case that it is not kept.
      classes: best class of each slot.
      score: float32 [B, Q].
      claimed_area: int32 [B, Q].
      free_area: int32 [B, Q].
      pixel_value: int32 [B, Q], what the slot's pixels hold in the panoptic map.
      best_slot: int32 [B, H, W].
      best_probability: float32 [B, H, W].
      info: classes of the data set.

    Returns:
      The `SlotDecisions`.
    """
    kept = tf.not_equal(pixel_value, info.void_panoptic)
    num_classes = len(info.channel_ids)
    likeliest = tf.argmax(prediction.class_logits, axis=-1, output_type=tf.int32)
    return SlotDecisions(
        verdict=tf.where(kept, Verdict.KEPT, dropped),
        confidence=classes.confidence,
        class_id=tf.gather(tf.constant(info.channel_ids, tf.int32), classes.channel),
        sees_nothing=tf.equal(likeliest, num_classes),
        score=score,
        claimed_area=claimed_area,
        free_area=free_area,
        segment_id=pixel_value,
        best_slot=best_slot,
        best_probability=best_probability,
    )

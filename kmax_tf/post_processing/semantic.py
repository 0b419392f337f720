"""The semantic map beside the panoptic one: the class of each pixel's best slot, never void."""

from __future__ import annotations

from typing import Sequence

import tensorflow as tf


def semantic_map(best_slot: tf.Tensor, channel: tf.Tensor, channel_ids: Sequence[int]) -> tf.Tensor:
    """Class of the best slot of each pixel, without any threshold.

    It may disagree with the panoptic map, where a confident slot can win over a likelier one.

    Args:
      best_slot: int32 [B, H, W], the slot with the largest mask logit.
      channel: int32 [B, Q], class channel of each slot.
      channel_ids: data-set class id of each channel.

    Returns:
      int32 [B, H, W], data-set class ids.
    """
    class_of_slot = tf.gather(tf.constant(channel_ids, tf.int32), channel)
    return tf.gather(class_of_slot, best_slot, batch_dims=1)

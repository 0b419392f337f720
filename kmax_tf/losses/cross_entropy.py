"""Cross entropy and the means that the kMaX-DeepLab losses share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class ClassTargets(NamedTuple):
    """What the class head should say at each slot.

    Attributes:
      channel: int32 [B, Q], the last channel (void) at slots without a segment.
      weight: float32 [B, Q].
    """

    channel: tf.Tensor
    weight: tf.Tensor


def sparse_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Softmax cross entropy with one label per position.

    Args:
      logits: float32 [..., C].
      labels: int32 [...], each in 0..C-1.

    Returns:
      float32 [...].
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def mean_of_nonzero(losses: tf.Tensor) -> tf.Tensor:
    """Sum over the last axis divided by the number of values that are not 0; 0 if there are none.

    Args:
      losses: float32 [..., P].

    Returns:
      float32 [...].
    """
    count = tf.math.count_nonzero(losses, axis=-1, dtype=losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=-1), count)


def top_k_mean(losses: tf.Tensor, fraction: float) -> tf.Tensor:
    """Mean of the non-zero values among the largest ones.

    Args:
      losses: float32 [..., P], not negative.
      fraction: share in [0, 1] of the P values that is kept, rounded half to even; values that are
        0 (ignored pixels) count as part of P.

    Returns:
      float32 [...].
    """
    num_losses = losses.shape[-1]
    num_kept = int(np.round(np.float32(fraction) * np.float32(num_losses)))
    if num_kept < num_losses:
        losses = tf.math.top_k(losses, num_kept, sorted=False).values
    return mean_of_nonzero(losses)


def class_targets(
    segment_of_slot: tf.Tensor,
    segment_channel: tf.Tensor,
    mask_similarity: tf.Tensor,
    void_ratio: tf.Tensor,
    num_classes: int,
) -> ClassTargets:
    """Labels and weights of the PQ-style class term (arXiv:2012.00759, equations 12 and 13).

    Slots with a segment are weighted by the quality of their mask, slots without one by the share
    of their mask that is void: nothing is known about what they show there.

    Args:
      segment_of_slot: int32 [B, Q], -1 for none.
      segment_channel: int32 [B, N].
      mask_similarity: float32 [B, N], of the matched pairs.
      void_ratio: float32 [B, Q].
      num_classes: C, the void channel.
    """
    positive = segment_of_slot >= 0
    segment = tf.maximum(segment_of_slot, 0)
    channel = tf.gather(segment_channel, segment, batch_dims=1)
    quality = tf.gather(mask_similarity, segment, batch_dims=1)
    weight = tf.where(
        positive, 0.75 * tf.maximum(quality, 1e-5), 0.25 * tf.maximum(void_ratio, 1e-5)
    )
    return ClassTargets(
        channel=tf.where(positive, channel, num_classes), weight=tf.stop_gradient(weight)
    )


def class_loss(class_logits: tf.Tensor, targets: ClassTargets) -> tf.Tensor:
    """PQ-style class term.

    Args:
      class_logits: float32 [L, B, Q, C+1], of L predictions that share their targets.
      targets: labels and weights [B, Q].

    Returns:
      float32 [L, B].
    """
    labels = tf.broadcast_to(targets.channel, tf.shape(class_logits)[:-1])
    return mean_of_nonzero(sparse_cross_entropy(class_logits, labels) * targets.weight)

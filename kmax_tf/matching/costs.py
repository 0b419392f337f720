"""How well each mask slot fits each target segment.

The similarity of MaX-DeepLab (arXiv:2012.00759, equation 9): dice of the masks times the
probability of the segment's class. The cost of a pair is its negative.
"""

from __future__ import annotations

import tensorflow as tf


def region_sums(probability: tf.Tensor, region: tf.Tensor, num_regions: int) -> tf.Tensor:
    """Sums slot probabilities over the pixels of each region.

    Args:
      probability: float32 [B, P, Q].
      region: int32 [B, P] in 0..num_regions-1; pixels with other values belong to no region.
      num_regions: R.

    Returns:
      float32 [B, R, Q].
    """
    # A matrix product, not a segment sum: scattering is slow on GPUs (contention) and TPUs.
    membership = tf.one_hot(region, num_regions, dtype=probability.dtype)
    return tf.matmul(membership, probability, transpose_a=True)


def mask_similarity(
    intersection: tf.Tensor, segment_area: tf.Tensor, slot_area: tf.Tensor
) -> tf.Tensor:
    """Dice coefficient of every segment with every slot.

    Args:
      intersection: float32 [B, N, Q], slot probability summed over each segment.
      segment_area: float32 [B, N], in pixels.
      slot_area: float32 [B, Q], slot probability summed over all pixels that are not void.

    Returns:
      float32 [B, N, Q] in 0..1.
    """
    areas = segment_area[:, :, tf.newaxis] + slot_area[:, tf.newaxis, :]
    return intersection / (areas / 2.0 + 1e-5)


def class_similarity(class_logits: tf.Tensor, channel: tf.Tensor) -> tf.Tensor:
    """Probability of each segment's class at every slot.

    Args:
      class_logits: float32 [B, Q, C+1], void last.
      channel: int32 [B, N], the class of each segment as a channel; any negative number means no
        such segment (its row is meaningless).

    Returns:
      float32 [B, N, Q] in 0..1.
    """
    probability = tf.transpose(tf.nn.softmax(class_logits, axis=-1), [0, 2, 1])
    return tf.gather(probability, tf.maximum(channel, 0), batch_dims=1)

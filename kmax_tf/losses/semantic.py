"""Cross entropy of the auxiliary semantic head."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.losses.cross_entropy import sparse_cross_entropy, top_k_mean


def semantic_loss(
    logits: tf.Tensor,
    labels: tf.Tensor,
    weight: tf.Tensor,
    *,
    ignore_label: int,
    top_k_fraction: float,
) -> tf.Tensor:
    """Weighted cross entropy per pixel, averaged over the hardest ones.

    Args:
      logits: float32 [B, P, K].
      labels: int32 [B, P], data-set class ids; the ignore label has weight 0.
      weight: float32 [B, P].
      ignore_label: semantic id of void.
      top_k_fraction: share in [0, 1] of the pixels that counts.

    Returns:
      float32 [B].
    """
    ignored = labels == ignore_label
    losses = sparse_cross_entropy(logits, tf.where(ignored, 0, labels))
    return top_k_mean(tf.where(ignored, 0.0, losses * weight), top_k_fraction)

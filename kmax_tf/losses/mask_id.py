"""Mask-id cross entropy: every pixel names the slot of its segment."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.losses.cross_entropy import top_k_mean


def mask_id_loss(log_probability: tf.Tensor, top_k_fraction: float) -> tf.Tensor:
    """Cross entropy over slots, averaged over the pixels of matched segments.

    Only real slots take part. The reference implementation (deeplab2) pads the channels to the
    number of target rows with logits of -99999, whose probability is 0: the same number.

    Args:
      log_probability: float32 [L, B, P], at each pixel's own slot; 0 at pixels without one.
      top_k_fraction: share in [0, 1] of the hardest pixels that counts.

    Returns:
      float32 [L, B].
    """
    return top_k_mean(-log_probability, top_k_fraction)

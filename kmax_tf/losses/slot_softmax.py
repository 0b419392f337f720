"""The two things that the mask losses need from a softmax over slots, computed in one go.

Mask-id cross entropy needs each pixel's log-probability at its own slot, dice needs in addition the
summed probability of each slot. With a gradient of its own, this touches [B, P, Q] as rarely as
possible and keeps one such array per prediction for the backward pass.
"""

from __future__ import annotations

from typing import Callable, Tuple

import tensorflow as tf


def slot_statistics(
    mask_logits: tf.Tensor, probability: tf.Tensor, slot_of_pixel: tf.Tensor, is_void: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Softmax over slots, reduced.

    Args:
      mask_logits: float32 [B, P, Q].
      probability: float32 [B, P, Q], the softmax of `mask_logits` (a caller may have it already).
        All gradient goes to `mask_logits`.
      slot_of_pixel: int32 [B, P], the slot that should hold the pixel, -1 for none.
      is_void: bool [B, P]; these pixels have no slot and no gradient.

    Returns:
      log_probability float32 [B, P] at `slot_of_pixel` (0 where it is -1), and slot_area float32
      [B, Q], probability summed over the pixels that have a slot. Pixels that have no slot and are
      not void (crowd) get the gradient of the normalizer alone, which lowers their logits: the
      reference implementation's cross entropy does so where its target is all zero.
    """
    probability = tf.stop_gradient(probability)
    labelled = slot_of_pixel >= 0
    weight = tf.cast(labelled, tf.float32)
    counted = tf.cast(~is_void, tf.float32)

    @tf.custom_gradient
    def reduced(logits: tf.Tensor) -> Tuple[Tuple[tf.Tensor, tf.Tensor], Callable]:
        own = tf.gather(logits, tf.maximum(slot_of_pixel, 0), batch_dims=2)
        # The largest probability is at least 1/Q: its logarithm is exact, and no second pass of
        # exponentials is needed.
        below_largest = own - tf.reduce_max(logits, axis=-1)
        log_largest = tf.math.log(tf.reduce_max(probability, axis=-1))
        log_probability = tf.where(labelled, below_largest + log_largest, 0.0)
        slot_area = tf.matmul(weight[:, tf.newaxis, :], probability)[:, 0, :]

        def gradient(d_log: tf.Tensor, d_area: tf.Tensor) -> tf.Tensor:
            d_log = d_log * counted
            expected = tf.linalg.matvec(probability, d_area)
            # weight * (d_area - expected) - d_log, as one product of rank 2.
            pixels = tf.stack([weight, -weight * expected - d_log], axis=-1)
            slots = tf.stack([d_area, tf.ones_like(d_area)], axis=1)
            d_logits = probability * tf.matmul(pixels, slots)
            is_own = slot_of_pixel[..., tf.newaxis] == tf.range(logits.shape[-1])
            return tf.where(is_own, d_logits + d_log[..., tf.newaxis], d_logits)

        return (log_probability, slot_area), gradient

    return reduced(mask_logits)

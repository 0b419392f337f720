"""How confident a slot is: its class probability, its mask probability, and both together."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class ClassScores(NamedTuple):
    """Best class of every slot, void left aside.

    Attributes:
      confidence: float32 [B, Q], probability of the best class; the softmax includes void, so a
        slot whose likeliest class is void keeps the (small) probability of its runner-up.
      channel: int32 [B, Q], channel of that class: things first, then stuff.
    """

    confidence: tf.Tensor
    channel: tf.Tensor


def class_scores(class_logits: tf.Tensor) -> ClassScores:
    """Confidence and channel of the best class.

    Args:
      class_logits: float [B, Q, C+1], void last.

    Returns:
      The `ClassScores` of all slots.
    """
    probabilities = tf.nn.softmax(tf.cast(class_logits, tf.float32))[:, :, :-1]
    return ClassScores(
        confidence=tf.reduce_max(probabilities, axis=-1),
        channel=tf.argmax(probabilities, axis=-1, output_type=tf.int32),
    )


def mean_mask_probability(mask_logits: tf.Tensor, pixel_threshold: float) -> tf.Tensor:
    """Mean probability of a slot over the pixels that it claims.

    Measured at the size of the logits: upsampling smooths, but hardly moves this mean.

    Args:
      mask_logits: float32 [B, h, w, Q].
      pixel_threshold: a pixel is claimed above this probability.

    Returns:
      float32 [B, Q], 0 for a slot that claims nothing.
    """
    probabilities = tf.nn.softmax(mask_logits)
    claimed = tf.cast(probabilities > pixel_threshold, tf.float32)
    total = tf.reduce_sum(probabilities * claimed, axis=[1, 2])
    return tf.math.divide_no_nan(total, tf.reduce_sum(claimed, axis=[1, 2]))


def ranking_scores(
    confidence: tf.Tensor, mask_probability: tf.Tensor, *, class_weight: float, mask_weight: float
) -> tf.Tensor:
    """Score that decides which slot is pasted first: a weighted geometric product.

    Args:
      confidence: float32 [B, Q].
      mask_probability: float32 [B, Q].
      class_weight: exponent of the confidence.
      mask_weight: exponent of the mask probability; `0 ** 0` is 1.

    Returns:
      float32 [B, Q].
    """
    return tf.pow(confidence, class_weight) * tf.pow(mask_probability, mask_weight)

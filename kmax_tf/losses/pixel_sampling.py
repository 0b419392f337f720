"""Random pixels for losses that need not, or cannot, look at all of them."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.losses.target_masks import TargetMasks, of_pixel


def sample_pixels(
    masks: TargetMasks, uniform: tf.Tensor, *, num_samples: int, temperature: float
) -> tf.Tensor:
    """Draws distinct pixels, those of small segments more often (Gumbel top-k).

    The chance of a pixel grows with (P / area of its segment)^temperature; crowd counts as a
    segment of area 1, and void is drawn only where nothing else is left.

    Args:
      masks: of the whole image, maps [B, P].
      uniform: float32 [..., B, P], independent and uniform in [0, 1).
      num_samples: K, at most P.
      temperature: 0 treats all pixels alike.

    Returns:
      int32 [..., B, K], indices of pixels.
    """
    num_pixels = uniform.shape[-1]
    area = of_pixel(tf.maximum(masks.area, 1.0), masks.segment_id, 1.0)
    log_odds = temperature * tf.math.log(num_pixels / area)
    log_odds -= tf.where(masks.is_void, 99999.0, 0.0)
    gumbel = -tf.math.log(-tf.math.log(uniform))
    return tf.math.top_k(log_odds + gumbel, num_samples, sorted=False).indices

"""Instance discrimination: embeddings of pixels are alike within a segment, unlike across.

`sampled_loss` is kMaX-DeepLab's form, between sampled pixels; `mask_mean_loss` is the original one
of MaX-DeepLab (arXiv:2012.00759, equation 14), between pixels and the mean of every segment.
"""

from __future__ import annotations

from typing import Callable, List, Tuple

import tensorflow as tf

from kmax_tf.losses.cross_entropy import sparse_cross_entropy, top_k_mean
from kmax_tf.losses.target_masks import TargetMasks, sum_by_segment

_TEMPERATURE = 0.3
# Rows of the matrix of pairs that are computed at a time.
_PANEL = 512


def sampled_loss(
    embedding: tf.Tensor, segment_id: tf.Tensor, *, num_segments: int, top_k_fraction: float
) -> tf.Tensor:
    """Cross entropy between "same segment" and the softmax of similarities, pixel by pixel.

    The targets of a row are equal over the pixels of its segment, so that their part of the cross
    entropy is one product with the segment's mean: no [K, K] array of targets exists.

    A pixel without a segment has no target, and its loss is 0; its gradient is not: the reference
    implementation's cross entropy still pushes it away from all pixels that it resembles.

    Loss and gradient of an image are computed together, one image after the other: what is kept
    for the backward pass is [B, K, D], and only one image's pairs exist at a time.

    Args:
      embedding: float32 [B, K, D] of the sampled pixels, of norm 1 or less (as the model makes it).
      segment_id: int32 [B, K]; pixels of -1 only serve as negatives.
      num_segments: N.
      top_k_fraction: share in [0, 1] of the hardest sampled pixels that counts.

    Returns:
      float32 [B].
    """

    def loss_and_gradient(image: Tuple[tf.Tensor, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
        features, ids = image
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = _sampled_loss_of_image(
                features, ids, num_segments=num_segments, top_k_fraction=top_k_fraction
            )
        return loss, tape.gradient(loss, features)

    @tf.custom_gradient
    def losses(features: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        values, gradients = tf.map_fn(
            loss_and_gradient,
            (features, segment_id),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=1,
        )
        return values, lambda upstream: upstream[:, tf.newaxis, tf.newaxis] * gradients

    return losses(embedding)


def _sampled_loss_of_image(
    embedding: tf.Tensor, segment_id: tf.Tensor, *, num_segments: int, top_k_fraction: float
) -> tf.Tensor:
    """The loss of one image, float32 scalar, from [K, D] and [K]."""
    labelled = segment_id >= 0
    scaled = embedding * _TEMPERATURE**-0.5
    batched, ids = tf.expand_dims(scaled, 0), tf.expand_dims(segment_id, 0)
    count = sum_by_segment(tf.ones_like(ids, tf.float32), ids, num_segments)[0]
    mean = sum_by_segment(batched, ids, num_segments)[0] / tf.maximum(count, 1.0)[:, tf.newaxis]
    own_mean = tf.gather(mean, tf.maximum(segment_id, 0))
    normalizer = log_normalizer_of_pairs(scaled)
    losses = normalizer - tf.reduce_sum(scaled * own_mean, axis=-1)
    return top_k_mean(tf.where(labelled, losses, _gradient_only(normalizer)), top_k_fraction)


@tf.custom_gradient
def _gradient_only(values: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    """Exact zeros (the mean counts what is not 0) with the gradient of `values`."""
    return tf.zeros_like(values), lambda upstream: upstream


@tf.custom_gradient
def log_normalizer_of_pairs(features: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    """`logsumexp` over j of the products of features i and j.

    Products are symmetric, so only squares on the diagonal and what is to the right of them are
    computed, forward and backward: little more than half of the work and memory. Sums and outer
    sums are written as matrix products, which pass over the pairs quicker.

    Args:
      features: float32 [K, D], of norm 9 or less: their products are exponents as they are.

    Returns:
      float32 [K].
    """
    ones = tf.ones_like(features[:, 0])
    blocks = [_Block(start, features) for start in range(0, features.shape[0], _PANEL)]
    below = tf.zeros_like(ones)  # What rows further up say of those from here on.
    sums: List[tf.Tensor] = []
    for block in blocks:
        own, rest = ones[: block.size], ones[block.end :]
        along_rows = tf.linalg.matvec(block.square, own) + tf.linalg.matvec(block.right, rest)
        sums.append(below[: block.size] + along_rows)
        below = below[block.size :] + tf.linalg.matvec(block.right, own, transpose_a=True)
    total = tf.concat(sums, axis=0)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        factor = upstream / total
        # The product of a row of `left` and a column of `right` is the sum of their factors.
        left, right = tf.stack([factor, ones], axis=1), tf.stack([ones, factor], axis=0)
        parts: List[tf.Tensor] = []
        below = tf.zeros_like(features)
        for block in blocks:
            rows = left[block.start : block.end]
            # Pair (i, j) stands in row i of the softmax and, mirrored, in row j.
            square = block.square * tf.matmul(rows, right[:, block.start : block.end])
            pairs = block.right * tf.matmul(rows, right[:, block.end :])
            own = tf.matmul(square, block.features) + tf.matmul(pairs, features[block.end :])
            parts.append(below[: block.size] + own)
            mirrored = tf.matmul(pairs, block.features, transpose_a=True)
            below = below[block.size :] + mirrored
        return tf.concat(parts, axis=0)

    return tf.math.log(total), gradient


class _Block:
    """Some rows of the matrix of pairs, from the diagonal to the right.

    Attributes:
      start: first row.
      end: after the last row.
      size: number of rows.
      features: of the rows, [size, D].
      square: exponentials of the pairs among the rows, [size, size].
      right: of the rows and all later ones, [size, K - end]; may be empty.
    """

    def __init__(self, start: int, features: tf.Tensor) -> None:
        self.start = start
        self.end = min(start + _PANEL, features.shape[0])
        self.size = self.end - start
        self.features = features[start : self.end]
        self.square = tf.exp(tf.matmul(self.features, self.features, transpose_b=True))
        self.right = tf.exp(tf.matmul(self.features, features[self.end :], transpose_b=True))


def mask_mean_loss(
    embedding: tf.Tensor, masks: TargetMasks, *, num_things: int, top_k_fraction: float
) -> tf.Tensor:
    """Cross entropy of every thing pixel over the mean embeddings of all segments.

    Args:
      embedding: float32 [B, P, D].
      masks: of the same pixels.
      num_things: T; rows below it are things.
      top_k_fraction: share in [0, 1] of the hardest pixels that counts.

    Returns:
      float32 [B].
    """
    num_segments = masks.area.shape[1]
    sums = sum_by_segment(embedding, masks.segment_id, num_segments)
    mean = sums / tf.maximum(masks.area, 1.0)[..., tf.newaxis]
    mean = tf.math.l2_normalize(mean, axis=-1, epsilon=1e-12)
    logits = tf.matmul(embedding, mean, transpose_b=True) / _TEMPERATURE
    logits = tf.where(masks.exists[:, tf.newaxis, :], logits, -99999.0)
    is_thing = (masks.segment_id >= 0) & (masks.segment_id < num_things)
    losses = sparse_cross_entropy(logits, tf.maximum(masks.segment_id, 0))
    return top_k_mean(tf.where(is_thing, losses, 0.0), top_k_fraction)

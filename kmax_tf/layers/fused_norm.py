"""Norms whose gradients are written out: they keep their input for the backward pass, no more."""

from __future__ import annotations

from typing import Any, Callable, Tuple

import tensorflow as tf

from kmax_tf.layers.activation import gelu, gelu_gradient, not_before
from kmax_tf.layers.gradient import unrecorded, with_gradient
from kmax_tf.shapes import count_elements

Normalized = Tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""Result float [B, h, w, D]; mean and *biased* variance of the batch, float32 [D]."""


def normalize(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> Normalized:
    """Normalises by the statistics of the batch.

    Args:
      features: float [B, h, w, D].
      gamma: float32 [D].
      beta: float32 [D].
      epsilon: added to the variance.
    """
    with unrecorded():
        result = _batch_norm(features, gamma, beta, epsilon=epsilon)
        variance = _biased(result.batch_variance, features)

    @with_gradient
    def step(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            return _gradients(upstream, features, gamma, result, epsilon=epsilon)

        return result.y, gradient

    return step(features, gamma, beta), result.batch_mean, variance


def normalize_and_activate(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> Normalized:
    """Normalises by the statistics of the batch, then GELU; arguments as for `normalize`.

    For the backward pass only `features` are kept: what lies between norm and activation is made
    again from them, which costs less than a tenth of the convolution before, and halves the memory.
    """
    with unrecorded():
        result = _batch_norm(features, gamma, beta, epsilon=epsilon)
        variance = _biased(result.batch_variance, features)

    @with_gradient
    def step(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            normalized = tf.raw_ops.FusedBatchNormV3(
                x=not_before(upstream, features),
                scale=gamma,
                offset=beta,
                mean=result.batch_mean,
                variance=variance,
                epsilon=epsilon,
                is_training=False,
            ).y
            through_gelu = gelu_gradient(normalized, upstream)
            return _gradients(through_gelu, features, gamma, result, epsilon=epsilon)

        return gelu(result.y), gradient

    return step(features, gamma, beta), result.batch_mean, variance


def normalize_rows(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> tf.Tensor:
    """Layer norm over the last axis (https://arxiv.org/abs/1607.06450).

    Args:
      features: float32 [..., D].
      gamma: float32 [D].
      beta: float32 [D].
      epsilon: added to the variance.

    Returns:
      float32 [..., D].
    """

    return _normalize_rows(features, gamma, beta, epsilon)[0]


def normalize_rows_with_gradient(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> tf.Tensor:
    """`normalize_rows` for training: keeps only `features` for the backward pass."""

    @with_gradient
    def step(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        outputs, mean, inverse = _normalize_rows(features, gamma, beta, epsilon)

        def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            normal = (not_before(upstream, features) - mean) * inverse
            rows = list(range(features.shape.rank - 1))
            scaled = upstream * gamma
            through_variance = tf.reduce_mean(scaled * normal, -1, keepdims=True)
            through_mean = tf.reduce_mean(scaled, -1, keepdims=True)
            inputs = (scaled - through_mean - normal * through_variance) * inverse
            return inputs, tf.reduce_sum(upstream * normal, rows), tf.reduce_sum(upstream, rows)

        return outputs, gradient

    return step(features, gamma, beta)


def _normalize_rows(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Also mean and inverse standard deviation of each row."""
    mean, variance = tf.nn.moments(features, [-1], keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon)
    return (features - mean) * inverse * gamma + beta, mean, inverse


def _batch_norm(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float) -> Any:
    """The fused operation; its gradient is the caller's: the automatic one has five more inputs."""
    none = tf.constant([], tf.float32)
    return tf.raw_ops.FusedBatchNormV3(
        x=features, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon
    )


def _gradients(
    upstream: tf.Tensor, features: tf.Tensor, gamma: tf.Tensor, result: Any, *, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """With respect to features, gamma and beta."""
    gradients = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream,
        x=features,
        scale=gamma,
        reserve_space_1=result.reserve_space_1,
        reserve_space_2=result.reserve_space_2,
        reserve_space_3=result.reserve_space_3,
        epsilon=epsilon,
    )
    return gradients.x_backprop, gradients.scale_backprop, gradients.offset_backprop


def _biased(variance: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
    """The operation returns the unbiased variance v * n / (n - 1)."""
    count = count_elements(features, (0, 1, 2))
    return variance * ((count - 1.0) / count)

"""Norms whose gradients are written out: they keep their input for the backward pass, no more."""

from __future__ import annotations

from typing import Callable, NamedTuple, Tuple

import tensorflow as tf

from kmax_tf.layers.activation import gelu, gelu_gradient, not_before
from kmax_tf.layers.gradient import unrecorded, with_gradient
from kmax_tf.layers.recompute import keep, kept, runs_again
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
        normalized, statistics = _batch_norm(features, gamma, beta, epsilon=epsilon)

    @with_gradient
    def step(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            return _gradients(upstream, features, gamma, statistics, epsilon=epsilon)

        return normalized, gradient

    return step(features, gamma, beta), statistics.mean, statistics.variance


def normalize_and_activate(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> Normalized:
    """Normalises by the statistics of the batch, then GELU; arguments as for `normalize`.

    For the backward pass only `features` are kept: what lies between norm and activation is made
    again from them, which costs less than a tenth of the convolution before, and halves the memory.
    """
    with unrecorded():
        normalized, statistics = _batch_norm(features, gamma, beta, epsilon=epsilon)

    @with_gradient
    def step(features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            late = not_before(upstream, features)
            again = _normalize_by(statistics, late, gamma, beta, epsilon=epsilon)
            through_gelu = gelu_gradient(again, upstream)
            return _gradients(through_gelu, features, gamma, statistics, epsilon=epsilon)

        return gelu(normalized), gradient

    return step(features, gamma, beta), statistics.mean, statistics.variance


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


class _Statistics(NamedTuple):
    """Of a batch.

    Attributes:
      mean: float32 [D].
      variance: float32 [D], *biased*.
      reserved: what the gradient of the fused operation asks for.
    """

    mean: tf.Tensor
    variance: tf.Tensor
    reserved: Tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def _batch_norm(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> Tuple[tf.Tensor, _Statistics]:
    """The fused operation; its gradient is the caller's: the automatic one has five more inputs."""
    if runs_again():
        statistics = kept()
        return _normalize_by(statistics, features, gamma, beta, epsilon=epsilon), statistics
    none = tf.constant([], tf.float32)
    result = tf.raw_ops.FusedBatchNormV3(
        x=features, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon
    )
    count = count_elements(features, (0, 1, 2))
    # The operation returns the unbiased variance v * n / (n - 1).
    variance = result.batch_variance * ((count - 1.0) / count)
    reserved = (result.reserve_space_1, result.reserve_space_2, result.reserve_space_3)
    statistics = _Statistics(result.batch_mean, variance, reserved)
    return result.y, keep(lambda: statistics)


def _normalize_by(
    statistics: _Statistics,
    features: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    *,
    epsilon: float,
) -> tf.Tensor:
    return tf.raw_ops.FusedBatchNormV3(
        x=features,
        scale=gamma,
        offset=beta,
        mean=statistics.mean,
        variance=statistics.variance,
        epsilon=epsilon,
        is_training=False,
    ).y


def _gradients(
    upstream: tf.Tensor,
    features: tf.Tensor,
    gamma: tf.Tensor,
    statistics: _Statistics,
    *,
    epsilon: float,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """With respect to features, gamma and beta."""
    first, second, third = statistics.reserved
    gradients = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream,
        x=features,
        scale=gamma,
        reserve_space_1=first,
        reserve_space_2=second,
        reserve_space_3=third,
        epsilon=epsilon,
    )
    return gradients.x_backprop, gradients.scale_backprop, gradients.offset_backprop

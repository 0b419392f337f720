from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses import instance_discrimination
from kmax_tf.losses.instance_discrimination import (
    log_normalizer_of_pairs,
    mask_mean_loss,
    sampled_loss,
)
from kmax_tf.losses.target_masks import TargetMasks

EMBEDDING = tf.math.l2_normalize(tf.random.stateless_normal([2, 19, 6], [1, 2]), -1)


@pytest.mark.parametrize("panel", [4, 10, 19, 512])
def test_normalizer_is_logsumexp_of_all_products(panel, monkeypatch):
    monkeypatch.setattr(instance_discrimination, "_PANEL", panel)
    features = EMBEDDING[0] * 1.8
    weight = tf.random.stateless_normal([19], [3, 4])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        actual = log_normalizer_of_pairs(features)
        expected = tf.reduce_logsumexp(tf.matmul(features, features, transpose_b=True), -1)
        sums = tf.reduce_sum(actual * weight), tf.reduce_sum(expected * weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    gradients = [tape.gradient(value, features) for value in sums]
    np.testing.assert_allclose(*gradients, atol=1e-5)


def test_normalizer_bears_norms_far_from_one():
    features = EMBEDDING[0] * tf.linspace(0.1, 9.0, 19)[:, tf.newaxis]
    expected = tf.reduce_logsumexp(tf.matmul(features, features, transpose_b=True), -1)
    np.testing.assert_allclose(log_normalizer_of_pairs(features), expected, rtol=1e-5)


def dense_loss(embedding, segment_id):
    """Equation by equation: targets [B, K, K], the cross entropy of TensorFlow."""
    same = (segment_id[:, :, None] == segment_id[:, None, :]) & (segment_id[:, :, None] >= 0)
    targets = tf.cast(same, tf.float32)
    targets /= tf.maximum(tf.reduce_sum(targets, -1, keepdims=True), 1.0)
    logits = tf.matmul(embedding, embedding, transpose_b=True) / 0.3
    # The operation itself: with deterministic operations on, TensorFlow's wrapper takes another
    # path, whose gradient at pixels without target is 0.
    rows = [-1, logits.shape[-1]]
    losses, _ = tf.raw_ops.SoftmaxCrossEntropyWithLogits(
        features=tf.reshape(logits, rows), labels=tf.reshape(targets, rows)
    )
    losses = tf.reshape(losses, logits.shape[:2])
    return tf.reduce_sum(losses, -1) / tf.cast(tf.math.count_nonzero(losses, -1), tf.float32)


def test_sampled_loss_and_gradient():
    segment_id = tf.constant([[0, 0, 1, -1, 2, 2, 2, 5, 5, -1] + [3] * 9, [4] * 18 + [-1]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(EMBEDDING)
        actual = sampled_loss(EMBEDDING, segment_id, num_segments=6, top_k_fraction=1.0)
        expected = dense_loss(EMBEDDING, segment_id)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(actual, EMBEDDING), tape.gradient(expected, EMBEDDING), atol=1e-6
    )


def test_sampled_loss_of_nothing_but_void():
    loss = sampled_loss(EMBEDDING, tf.fill([2, 19], -1), num_segments=3, top_k_fraction=1.0)
    np.testing.assert_array_equal(loss, [0.0, 0.0])


def test_mask_mean_loss_by_hand():
    # Row 0 (thing) and row 2 (stuff) exist; only the thing's pixels count.
    embedding = tf.constant([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]])
    masks = TargetMasks(
        segment_id=tf.constant([[0, 2, 2, -1]]),
        is_void=tf.constant([[False, False, False, True]]),
        area=tf.constant([[1.0, 0.0, 2.0]]),
        channel=tf.constant([[0, -1, 1]]),
    )
    loss = mask_mean_loss(embedding, masks, num_things=2, top_k_fraction=1.0)
    np.testing.assert_allclose(loss, [np.log1p(np.exp(-1 / 0.3))], rtol=1e-5)

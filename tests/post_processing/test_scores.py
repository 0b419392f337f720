"""Scores of slots, by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.post_processing import scores


def test_class_scores_leave_void_aside() -> None:
    probabilities = np.array([[[0.2, 0.1, 0.7], [0.3, 0.6, 0.1]]], np.float32)
    result = scores.class_scores(tf.constant(np.log(probabilities)))
    np.testing.assert_allclose(result.confidence, [[0.2, 0.6]], rtol=1e-6)
    np.testing.assert_array_equal(result.channel, [[0, 1]])


def test_mean_mask_probability_counts_claimed_pixels_only() -> None:
    probabilities = np.array([[[[0.9, 0.05, 0.05], [0.7, 0.2, 0.1], [0.3, 0.36, 0.34]]]])
    result = scores.mean_mask_probability(tf.constant(np.log(probabilities), tf.float32), 0.4)
    np.testing.assert_allclose(result, [[0.8, 0.0, 0.0]], rtol=1e-6)


def test_ranking_scores_count_zero_to_the_zero_as_one() -> None:
    confidence = tf.constant([[0.5, 0.8, 0.0]])
    masks = tf.constant([[0.25, 0.0, 0.5]])
    for weights, expected in (
        ((1.0, 0.0), [[0.5, 0.8, 0.0]]),
        ((1.0, 1.0), [[0.125, 0.0, 0.0]]),
        ((0.0, 0.5), [[0.5, 0.0, 0.5**0.5]]),
    ):
        result = scores.ranking_scores(
            confidence, masks, class_weight=weights[0], mask_weight=weights[1]
        )
        np.testing.assert_allclose(result, expected, rtol=1e-6)

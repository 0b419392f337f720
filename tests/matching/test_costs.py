from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.matching.costs import class_similarity, mask_similarity, region_sums


def test_region_sums_leave_out_foreign_pixels():
    probability = tf.constant([[[0.1, 0.9], [0.4, 0.6], [0.5, 0.5], [1.0, 0.0]]])
    region = tf.constant([[0, 2, 0, -1]])
    sums = region_sums(probability, region, 3)
    np.testing.assert_allclose(sums, [[[0.6, 1.4], [0.0, 0.0], [0.4, 0.6]]], rtol=1e-6)


def test_mask_similarity_of_a_perfect_and_a_half_covered_segment():
    intersection = tf.constant([[[4.0, 2.0]]])
    similarity = mask_similarity(intersection, tf.constant([[4.0]]), tf.constant([[4.0, 2.0]]))
    np.testing.assert_allclose(similarity, [[[1.0, 2.0 / 3.0]]], rtol=1e-5)


def test_class_similarity_reads_the_softmax_over_all_channels():
    logits = tf.math.log(tf.constant([[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]]))
    similarity = class_similarity(logits, tf.constant([[1, 0, -1]]))
    np.testing.assert_allclose(similarity[0, :2], [[0.3, 0.3], [0.2, 0.6]], rtol=1e-6)
    assert similarity.shape == (1, 3, 2)

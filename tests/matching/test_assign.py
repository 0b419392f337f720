from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.matching.assign import assign_segments, segment_of_slot

MASK = tf.constant([[[0.9, 0.8, 0.0], [0.9, 0.1, 0.0], [0.5, 0.5, 0.5]]])
CLASS = tf.constant([[[1.0, 0.5, 0.2], [0.5, 0.5, 0.2], [1.0, 1.0, 1.0]]])


def test_pairs_maximise_the_summed_product():
    # Row 2 does not exist. Rows 0 and 1 both like slot 0 best: .9 + .05 beats .4 + .45.
    assignment = assign_segments(MASK, CLASS, tf.constant([[True, True, False]]))
    np.testing.assert_array_equal(assignment.matched, [[True, True, False]])
    np.testing.assert_array_equal(assignment.slot_of_segment[:, :2], [[0, 1]])
    np.testing.assert_allclose(assignment.mask_similarity, [[0.9, 0.1, 0.0]])
    np.testing.assert_allclose(assignment.class_similarity, [[1.0, 0.5, 0.0]])
    np.testing.assert_array_equal(segment_of_slot(assignment, 3), [[0, 1, -1]])


def test_more_segments_than_slots_keep_the_best():
    exists = tf.constant([[True, True, True]])
    assignment = assign_segments(MASK[..., :2], CLASS[..., :2], exists)
    # 0.9 (row 0, slot 0) + 0.5 (row 2, slot 1) is the best that two slots can do.
    np.testing.assert_array_equal(assignment.matched, [[True, False, True]])
    np.testing.assert_array_equal(segment_of_slot(assignment, 2), [[0, 2]])
    np.testing.assert_allclose(assignment.mask_similarity, [[0.9, 0.0, 0.5]])


def test_no_gradient():
    with tf.GradientTape() as tape:
        tape.watch(MASK)
        similarity = assign_segments(MASK, CLASS, tf.constant([[True] * 3])).mask_similarity
    assert tape.gradient(similarity, MASK) is None

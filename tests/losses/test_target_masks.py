from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses.target_masks import (
    build_target_masks,
    of_pixel,
    subsample,
    sum_by_segment,
    unmatched_to_void,
)
from kmax_tf.structures import Assignment

# Data-set ids 3 (thing), 7 (thing), 2 (stuff) are channels 0, 1, 2; 0 is void; 3 rows.
SEMANTIC = [[3, 0, 2], [0, 0, 0], [7, 9, 0]]
SEGMENT = [[0, -1, 2], [-1, -1, -1], [-1, 1, -1]]  # The 7 in a corner is crowd.
TARGETS = {
    "semantic": tf.constant([SEMANTIC]),
    "segment_id": tf.constant([SEGMENT]),
    "segment_class": tf.constant([[3, 7, 2, -1]]),
}


def build(size):
    return build_target_masks(TARGETS, size, ignore_label=0, channel_ids=(3, 7, 2))


def test_full_size():
    masks = build((3, 3))
    np.testing.assert_array_equal(masks.segment_id[0], np.ravel(SEGMENT))
    np.testing.assert_array_equal(masks.is_void[0], np.ravel(SEMANTIC) == 0)
    np.testing.assert_array_equal(masks.area, [[1, 1, 1, 0]])
    np.testing.assert_array_equal(masks.channel, [[0, 1, 2, -1]])


def test_segments_between_the_strides_vanish():
    masks = build((2, 2))
    np.testing.assert_array_equal(masks.segment_id, [[0, 2, -1, -1]])
    np.testing.assert_array_equal(masks.is_void, [[False, False, False, True]])
    np.testing.assert_array_equal(masks.exists, [[True, False, True, False]])


def test_unmatched_segments_become_void():
    assignment = Assignment(
        slot_of_segment=tf.zeros([1, 4], tf.int32),
        matched=tf.constant([[True, False, False, False]]),
        mask_similarity=tf.zeros([1, 4]),
        class_similarity=tf.zeros([1, 4]),
    )
    masks = unmatched_to_void(build((2, 2)), assignment)
    np.testing.assert_array_equal(masks.segment_id, [[0, -1, -1, -1]])
    np.testing.assert_array_equal(masks.is_void, [[False, True, False, True]])  # Crowd stays.
    np.testing.assert_array_equal(masks.area, [[1, 0, 0, 0]])
    np.testing.assert_array_equal(masks.channel, [[0, -1, -1, -1]])


def test_sum_by_segment_and_back():
    ids = tf.constant([[0, 1, 0, -1], [1, 1, 1, -1]])
    values = tf.constant([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    np.testing.assert_allclose(sum_by_segment(values, ids, 2), [[4, 2], [0, 18]])
    sums = sum_by_segment(tf.stack([values, -values], -1), ids, 2)
    np.testing.assert_allclose(sums, [[[4, -4], [2, -2]], [[0, 0], [18, -18]]])
    looked_up = of_pixel(sums[..., 0], ids, -1.0)
    np.testing.assert_allclose(looked_up, [[4, 2, 4, -1], [18, 18, 18, -1]])


@pytest.mark.parametrize("size", [(9, 9), (5, 17), (9, 5), (6, 9), (1, 1)])
def test_sizes_must_fit(size):
    labels = tf.zeros([1, 17, 33], tf.int32)
    with pytest.raises(ValueError, match=r"`labels` .* received \[17, 33\]"):
        subsample(labels, size)


def test_stride_of_both_axes():
    labels = tf.reshape(tf.range(17 * 33), [1, 17, 33])
    expected = np.arange(17 * 33).reshape(17, 33)[::4, ::4].ravel()
    np.testing.assert_array_equal(subsample(labels, (5, 9))[0], expected)

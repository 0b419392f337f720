"""Merging of slots into segments, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.post_processing.merge import (
    count_pixels,
    merge_slots,
    paint,
    require_room_for_slots,
)

# Channels: things 4 and 9, stuff 2 and 5; divisor 100, void 0.
CLASSES = {"channel_ids": (4, 9, 2, 5), "num_things": 2, "label_divisor": 100, "void_panoptic": 0}


def test_merge_slots() -> None:
    segments = merge_slots(
        area=tf.constant([[50, 9, 30, 30, 59, 0]]),
        channel=tf.constant([[1, 0, 2, 2, 3, 1]]),
        mask_id=tf.constant([[1, 2, 3, 4, 5, 6]]),
        score=tf.constant([[0.9, 0.8, 0.5, 0.6, 0.7, 0.4]]),
        thing_area_limit=10,
        stuff_area_limit=60,
        **CLASSES,
    )
    # A large thing, a small thing, two slots of one stuff class, small stuff, an unused slot.
    np.testing.assert_array_equal(segments.pixel_value, [[901, 0, 200, 200, 0, 0]])
    np.testing.assert_array_equal(segments.segment_id, [[901, -1, -1, 200, -1, -1]])
    np.testing.assert_array_equal(segments.segment_class, [[9, -1, -1, 2, -1, -1]])
    np.testing.assert_allclose(segments.segment_score, [[0.9, 0, 0, 0.6, 0, 0]])


def test_best_slot_of_stuff_is_one_that_holds_pixels() -> None:
    segments = merge_slots(
        area=tf.constant([[0, 30]]),
        channel=tf.constant([[2, 2]]),
        mask_id=tf.constant([[1, 2]]),
        score=tf.constant([[0.9, 0.0]]),
        thing_area_limit=0,
        stuff_area_limit=0,
        **CLASSES,
    )
    np.testing.assert_array_equal(segments.segment_id, [[-1, 200]])


def test_paint_and_count_pixels() -> None:
    slots = tf.constant([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])
    painted = paint(slots, tf.constant([[10, 11], [20, 21]]), -1)
    np.testing.assert_array_equal(painted, [[[10, 11], [-1, -1]], [[21, 21], [20, -1]]])
    np.testing.assert_array_equal(count_pixels(slots, 3), [[1, 1, 2], [1, 2, 1]])


def test_instance_numbers_must_not_reach_the_next_class() -> None:
    require_room_for_slots(256, 255)
    with pytest.raises(ValueError, match=r"label_divisor.*\(256\).*slots \(256\)"):
        require_room_for_slots(256, 256)

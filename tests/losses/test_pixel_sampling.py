from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.losses.pixel_sampling import sample_pixels
from kmax_tf.losses.target_masks import TargetMasks, build_target_masks
from tests.losses.golden_cases import load


def masks_of(segment_id, is_void, area):
    area = tf.constant([area], tf.float32)
    channel = tf.where(area > 0, 0, -1)
    return TargetMasks(tf.constant([segment_id]), tf.constant([is_void]), area, channel)


def test_golden_draws():
    case = load("aux2_subsampling")
    masks = build_target_masks(case.targets, (17, 17), ignore_label=0, channel_ids=range(1, 9))
    indices = sample_pixels(
        masks, tf.constant(case.arrays["gumbel_uniform"]), num_samples=64, temperature=1.5
    )
    np.testing.assert_array_equal(np.sort(indices, -1), np.sort(case.arrays["sample_indices"], -1))


def test_chances_follow_the_area_and_void_comes_last():
    # Segment 0 has 6 pixels, segment 1 has 1, one pixel is void.
    masks = masks_of([0] * 6 + [1, -1], [False] * 7 + [True], [6, 1])
    uniform = tf.random.stateless_uniform([4000, 1, 8], [3, 4])
    first = sample_pixels(masks, uniform, num_samples=1, temperature=1.0)
    # At temperature 1 both segments weigh the same: 1 * 6 and 6 * 1.
    assert abs(np.mean(first == 6) - 0.5) < 0.03
    indices = np.asarray(sample_pixels(masks, uniform[:50], num_samples=7, temperature=1.0))
    np.testing.assert_array_equal(np.sort(indices, -1), np.tile(np.arange(7), (50, 1, 1)))

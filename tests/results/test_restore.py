"""`restore_map` against TensorFlow's own nearest resize and a hand-worked case."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.results.restore import restore_map


def test_equals_tensorflow_for_many_sizes():
    random = np.random.RandomState(0)
    for _ in range(60):
        height, width, new_height, new_width = random.randint(1, 300, 4)
        label_map = random.randint(0, 1 << 20, (height + 3, width + 2)).astype(np.int32)
        expected = tf.raw_ops.ResizeNearestNeighbor(
            images=label_map[None, :height, :width, None],
            size=[new_height, new_width],
            align_corners=True,
        )
        restored = restore_map(label_map, (height, width), (new_height, new_width))
        np.testing.assert_array_equal(restored, expected[0, :, :, 0])


def test_hand_worked_case_drops_padding():
    label_map = np.array([[1, 2, 9], [3, 4, 9], [9, 9, 9]], np.int32)
    expected = [[1, 2, 2], [3, 4, 4], [3, 4, 4]]
    np.testing.assert_array_equal(restore_map(label_map, (2, 2), (3, 3)), expected)


def test_keeps_dtype_and_trailing_axis():
    restored = restore_map(np.ones((4, 4, 2), np.float32), [2, 3], [5, 7])
    assert restored.shape == (5, 7, 2)
    assert restored.dtype == np.float32


@pytest.mark.parametrize("valid, image", [((0, 2), (3, 3)), ((5, 2), (3, 3)), ((2, 2), (0, 3))])
def test_rejects_sizes_that_do_not_fit(valid, image):
    with pytest.raises(ValueError, match=r"_size` must"):
        restore_map(np.zeros((4, 4), np.int32), valid, image)


def test_equals_the_reference_implementation(golden):
    case = np.load(golden / "predictor" / "undo.npz")
    pairs = (
        ("panoptic", "undone_panoptic"),
        ("semantic", "undone_semantic"),
        ("scores", "undone_scores"),
    )
    for name, expected in pairs:
        for index in range(2):
            restored = restore_map(case[name][index], case["resized"], case["raw"])
            np.testing.assert_array_equal(restored, case[expected][index])

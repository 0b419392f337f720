"""The threshold-free semantic map."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.post_processing.semantic import semantic_map


def test_looks_up_the_class_of_the_best_slot() -> None:
    best = tf.constant([[[0, 1], [1, 0]], [[0, 0], [1, 1]]])
    channel = tf.constant([[2, 0], [1, 1]])
    result = semantic_map(best, channel, (7, 3, 5))
    np.testing.assert_array_equal(result, [[[5, 7], [7, 5]], [[3, 3], [3, 3]]])

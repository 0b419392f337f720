from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf import labels


@pytest.mark.parametrize("divisor", [256, 1000])
def test_join_and_split_are_inverse(divisor):
    classes = np.array([0, 1, 133, 255], np.int32)
    instances = np.array([0, 1, 17, divisor - 1], np.int32)
    panoptic = labels.panoptic_id(classes, instances, divisor)
    assert panoptic.dtype == np.int32
    np.testing.assert_array_equal(labels.class_of(panoptic, divisor), classes)
    np.testing.assert_array_equal(labels.instance_of(panoptic, divisor), instances)
    np.testing.assert_array_equal(labels.class_of(tf.constant(panoptic), divisor), classes)


def test_hand_worked():
    assert labels.panoptic_id(3, 2, 256) == 770
    assert (labels.class_of(770, 256), labels.instance_of(770, 256)) == (3, 2)

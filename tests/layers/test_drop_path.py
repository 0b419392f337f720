from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.drop_path import DropPath
from tests.testing import random_tensor


def test_drops_whole_images():
    outputs = DropPath(0.8)(tf.ones([2000, 2, 3]), training=True).numpy()
    first = outputs[:, :1, :1]
    np.testing.assert_array_equal(outputs, np.broadcast_to(first, outputs.shape))
    kept = first > 0
    np.testing.assert_allclose(first[kept], 1.25)
    assert 0.75 < kept.mean() < 0.85


@pytest.mark.parametrize(("keep_prob", "training"), [(0.5, False), (1.0, True)])
def test_identity(keep_prob, training):
    inputs = random_tensor(4, 3)
    np.testing.assert_array_equal(DropPath(keep_prob)(inputs, training=training), inputs)


def test_config_and_low_precision():
    layer = DropPath.from_config(DropPath(0.5).get_config())
    assert layer.keep_prob == 0.5
    outputs = layer(tf.ones([8, 2], tf.float32), training=True)
    assert set(np.unique(outputs)) <= {0.0, 2.0}


def test_probability_is_checked():
    with pytest.raises(ValueError, match="`keep_prob` must lie in"):
        DropPath(0.0)

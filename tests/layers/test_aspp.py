from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.layers.aspp import ASPP
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {
    "channels": 4,
    "atrous_rates": (1, 2, 3),
    "dropout_rate": 0.0,
    "norm": NORM,
    "activation": "gelu",
}


def test_layer():
    layer = run_layer_test(
        ASPP,
        CONFIG,
        [random_tensor(2, 5, 4, 3)],
        expected_shapes=[(2, 5, 4, 4)],
        expected_weights=30,
    )
    assert layer.projection.kernel.shape == (1, 1, 20, 4)
    assert [branch.dilation for branch in layer.atrous] == [1, 2, 3]


def test_dropout_only_in_training():
    layer = ASPP(**{**CONFIG, "dropout_rate": 0.5})
    inputs = random_tensor(2, 9, 9, 3)
    # A strongly negative input of gelu is an exact zero, too; but those are few.
    assert np.mean(layer(inputs) == 0.0) < 0.05
    dropped = np.mean(layer(inputs, training=True) == 0.0)
    assert 0.35 < dropped < 0.65
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(dynamic(inputs), layer(inputs), atol=1e-5)

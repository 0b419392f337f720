from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.heads.semantic import SemanticDecoder, SemanticDecoderSettings, SemanticHead
from tests.testing import NORM, random_tensor, run_layer_test

DECODER = SemanticDecoderSettings(
    aspp_channels=4,
    decoder_channels=5,
    atrous_rates=(1, 2, 3),
    low_level=(("res3", 2), ("res2", 3)),
    low_level_activation="relu",
    dropout_rate=0.0,
)
PYRAMID = {
    "stage2": random_tensor(2, 17, 17, 4),
    "stage3": random_tensor(2, 9, 9, 6),
    "stage5": random_tensor(2, 3, 3, 8),
}
HEAD = {"num_classes": 7, "head_channels": 6, "norm": NORM}


def test_decoder():
    decoder = run_layer_test(
        SemanticDecoder,
        {"settings": DECODER, "norm": NORM},
        [PYRAMID],
        expected_shapes=[(2, 17, 17, 5)],
        expected_weights=30 + 2 * 5 + 2 * 10,
    )
    assert decoder.fusions[0].depthwise.depthwise_kernel.shape == (5, 5, 6, 1)


def test_low_level_features_are_activated():
    decoder = SemanticDecoder(DECODER, norm=NORM)
    expected = decoder(PYRAMID)
    activated = {**PYRAMID, "stage2": tf.nn.relu(PYRAMID["stage2"])}
    np.testing.assert_array_equal(decoder(activated), expected)


@pytest.mark.parametrize(("decoder", "size", "weights"), [(DECODER, 17, 72), (None, 3, 12)])
def test_head(decoder, size, weights):
    run_layer_test(
        SemanticHead,
        {**HEAD, "decoder": decoder},
        [PYRAMID],
        expected_shapes=[(2, size, size, 7)],
        expected_weights=weights,
    )


def test_pooling_window_reaches_the_pyramid():
    decoder = SemanticDecoder(DECODER._replace(pooling_window=(2, 3)), norm=NORM)
    assert decoder.aspp.pooling_window == (2, 3)
    assert decoder(PYRAMID).shape == (2, 17, 17, 5)

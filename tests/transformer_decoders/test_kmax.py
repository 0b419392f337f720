from __future__ import annotations

import numpy as np

from kmax_tf.structures import PixelFeatures
from kmax_tf.transformer_decoders.kmax import KMaxTransformerDecoder
from tests.testing import random_tensor, run_layer_test
from tests.transformer_decoders import test_kmax_block as block_test

FEATURES = PixelFeatures(
    stages={
        "stride32": random_tensor(2, 3, 3, 6),
        "stride16": random_tensor(2, 5, 5, 7),
        "stride8": random_tensor(2, 9, 9, 5),
    },
    per_pixel=random_tensor(2, 17, 17, 4),
)
CONFIG = {
    "num_mask_slots": 7,
    "layers": [("stride32", 1), ("stride16", 2), ("stride8", 0)],
    "block": block_test.CONFIG["settings"],
    "mask_head": block_test.CONFIG["mask_head"],
    "norm": block_test.CONFIG["norm"],
}


def prediction(size):
    return [(2, 7, 4), (2, size, size, 7), (2, size, size, 5)]


def test_decoder():
    decoder = run_layer_test(
        KMaxTransformerDecoder,
        CONFIG,
        [FEATURES],
        call={"with_auxiliary": True},
        expected_shapes=[
            (2, 7, 8),
            (2, 7, 8),
            *prediction(3),
            *prediction(5),
            *prediction(5),
            (2, 3, 3),
            (2, 5, 5),
            (2, 5, 5),
        ],
        expected_weights=1 + 3 * 79 + 2 * 5,
    )
    assert decoder.cluster_centers.shape == (1, 7, 8)
    assert decoder.cluster_centers.name.endswith("cluster_centers:0")


def test_inference_returns_no_auxiliary_predictions():
    decoder = KMaxTransformerDecoder(**CONFIG)
    full = decoder(FEATURES, with_auxiliary=True)
    quick = decoder(FEATURES)
    assert quick.auxiliary == ()
    np.testing.assert_array_equal(quick.mask_feature, full.mask_feature)

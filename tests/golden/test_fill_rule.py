from __future__ import annotations

import numpy as np
import pytest

from tests.golden.fill_rule import SUFFIX, fill
from tests.golden.kmax_models import manifest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("encoder/_stem/_conv/kernel", [0.1161226, 0.04113445, -0.0736002]),
        ("encoder/_stem/_batch_norm/gamma", [0.9932248, 1.000141, 0.9371079]),
        ("encoder/_stem/_batch_norm/moving_variance", [0.5388088, 0.8247111, 0.6776671]),
        (
            "pixel_decoder/_stages/1/_block5/_attention/_height_axis/_batch_norm_similarity/"
            "moving_variance",
            [19.29861, 19.12322, 11.03406],
        ),
        ("transformer_decoder/cluster_centers", [-0.2702627, -1.955867, -0.8230066]),
        ("semantic_last_layer/bias", [-0.03899249, 0.06680492, -0.1146407]),
        (
            "pixel_decoder/_stages/0/_block1/_conv3_bn/_batch_norm/gamma",
            [0.5755323, 0.5054546, 0.5545614],
        ),
        (
            "transformer_decoder/_kmax_decoder/0/_block1_transformer/"
            "_kmeans_memory_batch_norm_retrieved_value/moving_variance",
            [1433.484, 1272.971, 2438.343],
        ),
    ],
)
def test_first_values_are_those_of_the_reference(path, expected):
    value = fill(path + SUFFIX, manifest("kmax_r50")[path + SUFFIX].shape)
    np.testing.assert_allclose(value.ravel()[:3], expected, rtol=1e-6)

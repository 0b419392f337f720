"""Full-size encoders by themselves, weights from a rule, against the reference implementation."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.axial_resnet import AxialResNet
from kmax_tf.pixel_encoders.convnext import ConvNeXt
from kmax_tf.pixel_encoders.resnet import ResNet
from kmax_tf.pixel_encoders.variants import AXIAL_RESNET_SIZES, CONVNEXT_SIZES, RESNET_SIZES
from tests.golden import kmax_models
from tests.golden.kmax_models import relative_errors

NORM = NormSettings(momentum=0.99, epsilon=1e-3, sync=True)
ENCODERS = {
    "kmax_r50": (ResNet, RESNET_SIZES["resnet_50"], {"norm": NORM}),
    "kmax_axial_r50": (AxialResNet, AXIAL_RESNET_SIZES["axial_resnet_50"], {"norm": NORM}),
    "kmax_convnext_tiny": (ConvNeXt, CONVNEXT_SIZES["convnext_tiny"], {}),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder(name):
    encoder_type, size, options = ENCODERS[name]
    encoder = encoder_type(**size._asdict(), drop_path_keep_prob=1.0, **options)
    encoder(tf.zeros([1, 33, 33, 3]))
    kmax_models.fill_variables(encoder, "pixel_encoder/")
    arrays = kmax_models.arrays(name)
    activate = activation_function(encoder.activation)
    errors = {}
    for case in ("infer_65x65", "infer_97x129"):
        image = tf.cast(arrays[f"{case}/image"], tf.float32)
        for stage, feature in encoder(image / 127.5 - 1.0).items():
            key = f"{case}/encoder/{stage}"
            errors.update(relative_errors(feature, arrays, key))
            errors.update(relative_errors(activate(feature), arrays, key.replace("stage", "res")))
    assert len(errors) == 5 * 6 + 5 * 4
    assert max(errors.values()) < 5e-6, errors

from __future__ import annotations

import pytest

from kmax_tf.pixel_encoders.variants import AXIAL_RESNET_SIZES, CONVNEXT_SIZES, RESNET_SIZES
from protos import model_pb2


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        (model_pb2.ResNetOptions, RESNET_SIZES),
        (model_pb2.AxialResNetOptions, AXIAL_RESNET_SIZES),
        (model_pb2.ConvNeXtOptions, CONVNEXT_SIZES),
    ],
)
def test_every_variant_of_the_config_has_its_sizes(message, sizes):
    names = {name.lower() for name in message.Variant.DESCRIPTOR.values_by_name}
    assert names == set(sizes)
    for size in sizes.values():
        assert len(size.depths) == len(size.widths) == 4

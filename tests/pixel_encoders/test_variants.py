from __future__ import annotations

from kmax_tf.pixel_encoders.variants import RESNET_SIZES
from protos import model_pb2


def test_every_variant_of_the_config_has_its_sizes():
    names = {name.lower() for name in model_pb2.ResNetOptions.Variant.DESCRIPTOR.values_by_name}
    assert names == set(RESNET_SIZES)
    for size in RESNET_SIZES.values():
        assert len(size.depths) == len(size.widths) == 4

from __future__ import annotations

import pytest
from google.protobuf import text_format

from kmax_tf.build.validation_of_model import output_stride, validate_model
from protos import model_pb2

DECODERS = """
kmax_pixel_decoder {
  stages { width: 8 } stages { width: 8 } stages { width: 8 } stages { width: 8 }
}
kmax_transformer_decoder { num_layers: 1 num_layers: 1 num_layers: 1 }
"""


def options(text: str) -> model_pb2.ModelOptions:
    return text_format.Parse(text, model_pb2.ModelOptions())


@pytest.mark.parametrize("encoder", ["resnet {}", "axial_resnet {}", "convnext {}"])
def test_any_encoder_goes_with_the_decoders(encoder):
    chosen = options(encoder + DECODERS)
    validate_model(chosen)
    assert output_stride(chosen) == 32


def test_a_network_needs_no_parts():
    chosen = options("dual_path_transformer {}")
    validate_model(chosen)
    assert output_stride(chosen) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DECODERS, "must choose a pixel_encoder: one of resnet, axial_resnet, convnext"),
        ("resnet {}", "must choose a pixel_decoder"),
        ("convnext { widths: 1 }" + DECODERS, r"convnext.widths` needs 0 or 4 values"),
        ("convnext { drop_path_keep_prob: 0 }" + DECODERS, "convnext.drop_path_keep_prob"),
        ("axial_resnet { drop_path_keep_prob: 2 }" + DECODERS, "axial_resnet.drop_path_keep_prob"),
        ("dual_path_transformer {} resnet {}", "either the network dual_path_transformer or its"),
        ("dual_path_transformer { num_mask_slots: 0 }", "num_mask_slots"),
        ("dual_path_transformer { width_multiplier: 0 }", "width_multiplier"),
    ],
)
def test_fault_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        validate_model(options(text))

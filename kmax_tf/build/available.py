"""What a config can choose from."""

from __future__ import annotations

from typing import Dict, List

from google.protobuf.descriptor import OneofDescriptor

from kmax_tf.data.dataset_info import known_datasets
from protos import model_pb2


def available() -> Dict[str, List[str]]:
    """Lists what this version of the library can build.

    Returns:
      `encoders`: sizes of pixel encoders, as a config names them (`resnet: RESNET_50`); `models`:
      kinds of mask transformers; `data_sets`: names that `dataset_info` accepts.
    """
    oneofs = model_pb2.ModelOptions.DESCRIPTOR.oneofs_by_name
    models = [
        field.name[: -len("_transformer_decoder")]
        if field.name.endswith("_transformer_decoder")
        else field.name
        for field in oneofs["transformer_decoder"].fields
    ]
    return {
        "encoders": sorted(_with_variants(oneofs["pixel_encoder"])),
        "models": sorted(models + _with_variants(oneofs["network"])),
        "data_sets": known_datasets(),
    }


def _with_variants(oneof: OneofDescriptor) -> List[str]:
    """Choices of a oneof: `field: VARIANT` where it comes in sizes, otherwise `field`."""
    choices = []
    for field in oneof.fields:
        variant = field.message_type.fields_by_name.get("variant")
        if variant is None or variant.enum_type is None:
            choices.append(field.name)
        else:
            choices += [f"{field.name}: {value.name}" for value in variant.enum_type.values]
    return choices

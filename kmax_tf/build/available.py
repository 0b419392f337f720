"""What a config can choose from."""

from __future__ import annotations

from typing import Dict, List

from kmax_tf.data.dataset_info import known_datasets
from protos import model_pb2


def available() -> Dict[str, List[str]]:
    """Lists what this version of the library can build.

    Returns:
      `encoders`: sizes of pixel encoders, as a config names them (`resnet: RESNET_50`); `models`:
      kinds of mask transformers; `data_sets`: names that `dataset_info` accepts.
    """
    oneofs = model_pb2.ModelOptions.DESCRIPTOR.oneofs_by_name
    encoders = []
    for field in oneofs["pixel_encoder"].fields:
        variant = field.message_type.fields_by_name.get("variant")
        if variant is None or variant.enum_type is None:
            encoders.append(field.name)
        else:
            encoders += [f"{field.name}: {value.name}" for value in variant.enum_type.values]
    models = [
        field.name[: -len("_transformer_decoder")]
        if field.name.endswith("_transformer_decoder")
        else field.name
        for field in oneofs["transformer_decoder"].fields
    ]
    return {
        "encoders": sorted(encoders),
        "models": sorted(models),
        "data_sets": known_datasets(),
    }

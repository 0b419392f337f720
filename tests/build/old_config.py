"""A small config in deeplab2's schema, to be changed by tests."""

from __future__ import annotations

from typing import Any, Dict

from kmax_tf.build.deeplab2_config import translate_deeplab2_config
from kmax_tf.build.textproto import scan_fields
from protos import experiment_pb2
from tests.configs.deeplab2_files import render

SOURCE = "old.textproto"


def old_settings() -> Dict[str, Any]:
    """What every file has to set, and nothing more."""
    return {
        "experiment_name": "old",
        "model_options": {
            "backbone": {"name": "kmax_resnet50"},
            "decoder": {"feature_key": "feature_semantic", "atrous_rates": [6, 12, 18]},
            "max_deeplab": {
                "pixel_space_head": {"output_channels": 128, "head_channels": 256},
                "auxiliary_semantic_head": {"output_channels": 134, "head_channels": 256},
            },
        },
        "train_dataset_options": {
            "dataset": "coco_panoptic",
            "file_pattern": "train-*",
            "crop_size": [65, 97],
            "thing_id_mask_annotations": True,
        },
    }


def with_setting(path: str, value: Any) -> Dict[str, Any]:
    """The small config with the field at a dotted path set, or left out if the value is None."""
    settings = old_settings()
    *parents, name = path.split(".")
    target = settings
    for parent in parents:
        target = target.setdefault(parent, {})
    if value is None:
        target.pop(name, None)
    else:
        target[name] = value
    return settings


def translate(settings: Dict[str, Any]) -> experiment_pb2.ExperimentOptions:
    """The translated settings."""
    text = render(settings)
    return translate_deeplab2_config(text, scan_fields(text), SOURCE)

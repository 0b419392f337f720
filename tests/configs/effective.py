"""The settings of a config that have an effect, defaults filled in, one per line."""

from __future__ import annotations

from typing import Any, Dict

from google.protobuf.message import Message

from protos import experiment_pb2

# Where a file is, not what it trains.
PLACES = ("experiment_name", "file_pattern", "initial_checkpoint", "pretrained_weights")
# Absent means the same as present and empty.
ALWAYS_THERE = ("augmentations", "panoptic_copy_paste")


def effective_settings(config: experiment_pb2.ExperimentOptions) -> Dict[str, Any]:
    """Dotted path -> value, without places and without what has no effect."""
    flat = _flatten(config, "")
    settings = {
        path: value for path, value in flat.items() if not set(PLACES) & set(path.split("."))
    }
    for part in ("train_dataset_options", "eval_dataset_options"):
        if not settings.get(f"{part}.increase_small_instance_weights"):
            settings.pop(f"{part}.small_instance_weight", None)
            settings.pop(f"{part}.small_instance_threshold", None)
    return settings


def _flatten(message: Message, prefix: str) -> Dict[str, Any]:
    flat: Dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        path = prefix + field.name
        if not field.has_presence:
            for index, element in enumerate(value):
                if isinstance(element, Message):
                    flat.update(_flatten(element, f"{path}.{index}."))
                else:
                    flat[f"{path}.{index}"] = element
        elif field.message_type is None:
            flat[path] = value
        elif message.HasField(field.name) or field.name in ALWAYS_THERE:
            flat.update(_flatten(value, f"{path}."))
    return flat

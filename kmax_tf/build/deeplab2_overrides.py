"""Overrides that name a field of deeplab2's schema get a sentence that names ours."""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from protos import deeplab2_pb2, experiment_pb2, model_pb2

# Fields whose name changed; all others keep the name of the last part.
_RENAMED = {
    "train_dataset_options.dataset": ["train_dataset_options.dataset_info"],
    "eval_dataset_options.dataset": ["eval_dataset_options.dataset_info"],
    "model_options.backbone.name": [
        f"model_options.{field.name}.variant"
        for field in model_pb2.ModelOptions.DESCRIPTOR.oneofs_by_name["pixel_encoder"].fields
        if "variant" in field.message_type.fields_by_name
    ],
}
_SHOWN = 4


def require_own_path(config: experiment_pb2.ExperimentOptions, path: str) -> None:
    """Raises ValueError for an override that fits deeplab2's schema and not ours.

    Args:
      config: to be overridden; decides which of several fields of a name are worth naming.
      path: dotted path of the override.
    """
    names = [name for name in path.split(".") if not name.isdigit()]
    if _resolves(names, experiment_pb2.ExperimentOptions.DESCRIPTOR):
        return
    if not _resolves(names, deeplab2_pb2.Experiment.DESCRIPTOR):
        return
    known = _RENAMED.get(path) or list(_paths_named(names[-1], config))
    instead = f": {' or '.join(f'`{p}`' for p in known[:_SHOWN])}" if known else ""
    raise ValueError(
        f"`--set {path}` names a field of deeplab2's schema; overrides name the fields of kmax_tf, "
        f"which a config of deeplab2 is translated to{instead}."
    )


def _resolves(names: List[str], descriptor: Optional[Descriptor]) -> bool:
    for name in names:
        if descriptor is None or name not in descriptor.fields_by_name:
            return False
        descriptor = descriptor.fields_by_name[name].message_type
    return True


def _paths_named(name: str, config: Message) -> Iterator[str]:
    """Paths of the scalar fields of a name, in the messages that the config has."""
    for path, message in _messages(config, ""):
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is not None and field.message_type is None:
            yield path + name


def _messages(message: Message, prefix: str) -> Iterator[Tuple[str, Message]]:
    yield prefix, message
    for field, value in message.ListFields():
        if isinstance(value, Message):
            yield from _messages(value, f"{prefix}{field.name}.")

"""The files that say what a run was: effective config and classes."""

from __future__ import annotations

import pathlib
from typing import Iterable, List

from google.protobuf.message import Message

from kmax_tf.build.config import parse_config, write_config
from kmax_tf.data.dataset_info import save_dataset_info
from kmax_tf.structures import DatasetInfo
from protos import experiment_pb2

CONFIG = "config.textproto"
LABELS = "labels.json"
METRICS = "metrics.jsonl"
PICTURES = "pictures"


def describe_run(
    model_dir: pathlib.Path, config: experiment_pb2.ExperimentOptions, info: DatasetInfo
) -> None:
    """Writes `config.textproto` and `labels.json`."""
    write_config(config, model_dir / CONFIG)
    save_dataset_info(info, str(model_dir / LABELS))


def changed_fields(model_dir: pathlib.Path, config: experiment_pb2.ExperimentOptions) -> List[str]:
    """Fields whose value differs from the last run in this folder, as `path: old -> new`."""
    path = model_dir / CONFIG
    if not path.exists():
        return []
    old = parse_config(path.read_text(encoding="utf-8"), str(path), {})
    return _differences(old, config, "")


def explain_misfit(model_dir: pathlib.Path, config: experiment_pb2.ExperimentOptions) -> str:
    """The end of the message about a checkpoint that does not fit: the fields that changed."""
    changed = changed_fields(model_dir, config)
    if not changed:
        return f"; choose another `--model_dir` than {model_dir}"
    return f"; changed since it was written: {', '.join(changed)}"


def _differences(old: Message, new: Message, prefix: str) -> List[str]:
    found = []
    for field in old.DESCRIPTOR.fields:
        path = prefix + field.name
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after and (
            not field.has_presence or old.HasField(field.name) == new.HasField(field.name)
        ):
            continue
        if not field.has_presence:
            found.append(f"{path}: {_text(before)} -> {_text(after)}")
        elif field.message_type is not None and old.HasField(field.name) == new.HasField(
            field.name
        ):
            found += _differences(before, after, f"{path}.")
        elif field.message_type is not None:
            found.append(f"{path}: {'removed' if old.HasField(field.name) else 'added'}")
        elif before != after:
            found.append(f"{path}: {before} -> {after}")
    return found


def _text(values: Iterable[object]) -> str:
    return "[" + ", ".join(str(value).strip().replace("\n", " ") for value in values) + "]"

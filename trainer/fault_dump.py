"""All that is needed to make a faulty step again, in one folder: no data set, no run."""

from __future__ import annotations

import itertools
import json
import math
import os
import pathlib
import shutil
import tempfile
import zipfile
from typing import Any, Dict, Mapping, NamedTuple, Tuple, Union

import numpy as np
import tensorflow as tf

from kmax_tf.build.config import load_config, write_config
from kmax_tf.data.dataset_info import save_dataset_info
from kmax_tf.json_files import read_json
from kmax_tf.structures import DatasetInfo, Features, Targets
from protos import experiment_pb2
from trainer.numeric_fault import StepReport

FOLDER = "faults"

_CONFIG = "config.textproto"
_LABELS = "labels.json"
_REPORT = "fault.json"
_BATCH = "batch.npz"
_STATE = "state"
_MOST_REPORT_BYTES = 64 * 2**20
_PARTS = ("features", "targets")


class Circumstances(NamedTuple):
    """Where a step was made.

    Attributes:
      message: what the user was told.
      devices: what it ran on, in words.
      replicas: devices that shared the batch.
      versions: of what computed it.
    """

    message: str
    devices: str
    replicas: int
    versions: Dict[str, Any]


class Dump(NamedTuple):
    """A dump that was read.

    Attributes:
      config: effective; its classes are those of the dump.
      report: what was seen.
      circumstances: where.
      features: of the global batch.
      targets: of the same images.
      checkpoint: prefix of the values from before the step.
    """

    config: experiment_pb2.ExperimentOptions
    report: StepReport
    circumstances: Circumstances
    features: Features
    targets: Targets
    checkpoint: str


def write_dump(
    model_dir: pathlib.Path,
    config: experiment_pb2.ExperimentOptions,
    info: DatasetInfo,
    *,
    report: StepReport,
    circumstances: Circumstances,
    checkpoint: tf.train.Checkpoint,
    batch: Tuple[Features, Targets],
) -> pathlib.Path:
    """Writes `<model_dir>/faults/step-<N>`, whole or not at all, beside any that is there.

    Args:
      model_dir: run folder.
      config: effective.
      info: the classes.
      report: what was seen.
      circumstances: where.
      checkpoint: holds the values from before the step.
      batch: the global batch.

    Returns:
      The folder.

    Raises:
      OSError: it cannot be written; the same holds for tf.errors.OpError.
    """
    parent = model_dir / FOLDER
    parent.mkdir(exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    try:
        write_config(config, temporary / _CONFIG)
        save_dataset_info(info, str(temporary / _LABELS))
        seen = {"report": report._asdict(), "circumstances": circumstances._asdict()}
        text = json.dumps(_encode(seen), indent=2, allow_nan=False)
        (temporary / _REPORT).write_text(text + "\n", encoding="utf-8")
        arrays = {
            f"{part}/{name}": tensor.numpy()
            for part, tensors in zip(_PARTS, batch)
            for name, tensor in tensors.items()
        }
        np.savez_compressed(temporary / _BATCH, **arrays)
        checkpoint.write(str(temporary / _STATE))
        temporary.chmod(0o755)  # Temporary folders are for their owner alone.
        return _move(temporary, parent / f"step-{report.step}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_dump(folder: Union[str, os.PathLike]) -> Dump:
    """Reads what `write_dump` wrote; the checkpoint is left to whoever restores it.

    Raises:
      ValueError: there is no dump, or it is damaged; names the file.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`DUMP` must be a folder that a faulty run wrote; received {folder}.")
    for name in (_CONFIG, _LABELS, _REPORT, _BATCH, f"{_STATE}.index"):
        if not (folder / name).is_file():
            raise ValueError(f"`DUMP` {folder} is not complete: it has no {name}.")
    config = load_config(folder / _CONFIG)
    for part in ("train_dataset_options", "eval_dataset_options"):
        if config.HasField(part) and getattr(config, part).dataset_info.endswith(".json"):
            getattr(config, part).dataset_info = str(folder / _LABELS)
    try:
        seen = read_json(folder / _REPORT, _MOST_REPORT_BYTES)
        report = _decode_report(seen["report"])
        circumstances = Circumstances(**seen["circumstances"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"`DUMP` {folder}: {_REPORT} cannot be used: {error}.") from None
    features, targets = _read_batch(folder)
    return Dump(config, report, circumstances, features, targets, str(folder / _STATE))


def _read_batch(folder: pathlib.Path) -> Tuple[Features, Targets]:
    parts: Dict[str, Dict[str, tf.Tensor]] = {part: {} for part in _PARTS}
    try:
        with np.load(folder / _BATCH, allow_pickle=False) as arrays:
            for key in arrays.files:
                part, _, name = key.partition("/")
                parts[part][name] = tf.constant(arrays[key])
        if not all(parts.values()):
            raise ValueError("it lacks features or targets")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"`DUMP` {folder}: {_BATCH} cannot be used: {error}.") from None
    return parts["features"], parts["targets"]  # type: ignore[return-value]


def _decode_report(fields: Mapping[str, Any]) -> StepReport:
    return StepReport(
        step=int(fields["step"]),
        values={name: float(value) for name, value in fields["values"].items()},
        image_ids=tuple(int(image) for image in fields["image_ids"]),
        image_losses=tuple(float(loss) for loss in fields["image_losses"]),
        gradient_norms={n: float(value) for n, value in fields["gradient_norms"].items()},
        max_total_loss=float(fields["max_total_loss"]),
    )


def _encode(value: Any) -> Any:
    """The value for JSON, which knows no NaN and no infinity: those become text."""
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _move(temporary: pathlib.Path, wanted: pathlib.Path) -> pathlib.Path:
    """Gives a folder the first free name of `wanted`, `wanted-2`, ..."""
    target = wanted
    for number in itertools.count(2):
        if not target.exists():
            break
        target = wanted.with_name(f"{wanted.name}-{number}")
    temporary.rename(target)
    return target

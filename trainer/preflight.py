"""What is checked before anything slow is loaded: record files and the run folder.

No TensorFlow here (but for remote files), so that a forgotten data set is reported at once.
"""

from __future__ import annotations

import glob
import os
import pathlib
import tempfile
from typing import Dict, List, Sequence

from kmax_tf.build.config import require_filled
from protos import data_pb2, experiment_pb2

TRAINING_MODES = ("train_and_eval", "train")
EVALUATING_MODES = ("train_and_eval", "eval", "continuous_eval")

# What `kmax build-data` needs beside the folder of the records.
_INPUTS = {"shapes": ""}
_DEFAULT_INPUT = " --input_dir=FOLDER"


def require_records(config: experiment_pb2.ExperimentOptions, mode: str) -> None:
    """Raises ValueError when the record files that `mode` reads are not there.

    The message lists the patterns without files and the command that makes them.
    """
    parts = []
    if mode in TRAINING_MODES:
        parts.append("train_dataset_options")
    if mode in EVALUATING_MODES:
        parts.append("eval_dataset_options")
    missing: Dict[str, List[str]] = {}
    for part in parts:
        if not config.HasField(part):
            raise ValueError(f"`--mode={mode}` needs `{part}`, which the config does not have.")
        patterns = _patterns(getattr(config, part), part)
        lost = [pattern for pattern in patterns if not _matches(pattern)]
        if lost:
            missing[part] = lost
    if missing:
        looked_for = " and ".join(
            f"{', '.join(lost)} (`{part}.file_pattern`)" for part, lost in missing.items()
        )
        part = next(iter(missing))
        name = getattr(config, part).dataset_info or config.train_dataset_options.dataset_info
        raise ValueError(
            f"No files match {looked_for}; make them with "
            f"`{build_command(name, missing[part][0])}`, or set KMAX_DATA to where they are."
        )


def build_command(dataset_info: str, pattern: str) -> str:
    """The `kmax build-data` line that makes the records of a data set.

    Args:
      dataset_info: name of a data set, or path of a JSON file.
      pattern: glob of the record files.
    """
    folder = os.path.dirname(pattern) or "."
    if dataset_info.endswith(".json"):
        return f"kmax build-data coco_format{_DEFAULT_INPUT} --output_dir={folder}"
    if dataset_info == "shapes" and os.path.basename(folder) == "tfrecords":
        folder = os.path.dirname(folder) or "."  # The drawn data set also writes image files.
    source = _INPUTS.get(dataset_info, _DEFAULT_INPUT)
    return f"kmax build-data {dataset_info}{source} --output_dir={folder}"


def require_writable(model_dir: pathlib.Path, *, create: bool) -> None:
    """Raises ValueError when the run folder cannot be written.

    Args:
      model_dir: run folder.
      create: make it if it is missing; else only look whether that would be possible.
    """
    try:
        if create:
            model_dir.mkdir(parents=True, exist_ok=True)
        existing = next(p for p in (model_dir, *model_dir.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"`--model_dir` {model_dir} cannot be written: {error.strerror or error}."
        ) from None


def _patterns(options: data_pb2.DatasetOptions, part: str) -> Sequence[str]:
    if not options.file_pattern:
        raise ValueError(f"`{part}.file_pattern` must name record files; it is empty.")
    return [require_filled(pattern, f"{part}.file_pattern") for pattern in options.file_pattern]


def _matches(pattern: str) -> bool:
    if "://" not in pattern:
        return bool(glob.glob(pattern))
    import tensorflow as tf

    return bool(tf.io.gfile.glob(pattern))

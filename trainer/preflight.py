"""What is checked before anything slow is loaded: record files and the run folder.

No TensorFlow here (but for remote files), so that a forgotten data set is reported at once.
"""

from __future__ import annotations

import glob
import os
import pathlib
import re
import tempfile
from typing import Dict, List, Optional, Sequence

from kmax_tf.build.config import require_filled
from kmax_tf.safe_paths import path_inside, require_local
from protos import data_pb2, experiment_pb2

TRAINING_MODES = ("train_and_eval", "train")
EVALUATING_MODES = ("train_and_eval", "eval", "continuous_eval")

# One file of a split as `kmax build-data` and deeplab2 name them: `train-00000-of-00008.tfrecord`.
_SHARD = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})[^/]*")

# What `kmax build-data` needs beside the folder of the records.
_INPUTS = {"shapes": ""}
_DEFAULT_INPUT = " --input_dir=FOLDER"


def require_records(config: experiment_pb2.ExperimentOptions, mode: str) -> None:
    """Raises ValueError when the record files that `mode` reads are not there, or not all of them.

    The message lists the patterns without files, or how many files of a split an interrupted
    conversion has left out, and the command that makes them.
    """
    parts = parts_of(mode)
    missing: Dict[str, List[str]] = {}
    incomplete = None
    for part in parts:
        if not config.HasField(part):
            raise ValueError(f"`--mode={mode}` needs `{part}`, which the config does not have.")
        patterns = _patterns(getattr(config, part), part)
        matches = {pattern: _glob(pattern) for pattern in patterns}
        lost = [pattern for pattern in patterns if not matches[pattern]]
        if lost:
            missing[part] = lost
        for pattern in patterns:
            incomplete = incomplete or _describe_incomplete(config, part, matches[pattern])
    if missing:
        looked_for = " and ".join(
            f"{', '.join(lost)} (`{part}.file_pattern`)" for part, lost in missing.items()
        )
        part = next(iter(missing))
        command = build_command(_dataset_name(config, part), missing[part][0])
        raise ValueError(
            f"No files match {looked_for}; make them with `{command}`, or set KMAX_DATA to where "
            "they are."
        )
    if incomplete:
        raise ValueError(incomplete)


def parts_of(mode: str) -> List[str]:
    """The fields of the config whose records `mode` reads."""
    training = ["train_dataset_options"] if mode in TRAINING_MODES else []
    return training + (["eval_dataset_options"] if mode in EVALUATING_MODES else [])


def choose_run_folder(
    config: experiment_pb2.ExperimentOptions, model_dir: Optional[str]
) -> pathlib.Path:
    """The folder of a run: `model_dir` if given, otherwise by the name of the experiment.

    Raises:
      ValueError: the folder is not one of this machine; the name is needed, and still holds a
        placeholder or leaves `runs`.
    """
    if model_dir:
        return pathlib.Path(require_local(model_dir, what="`--model_dir`"))
    return path_inside(
        "runs", require_filled(config.experiment_name, "experiment_name"), what="`experiment_name`"
    )


def require_weights(
    config: experiment_pb2.ExperimentOptions, mode: str, model_dir: pathlib.Path
) -> None:
    """Raises ValueError when a run that starts anew has weights whose place nothing fills."""
    if mode == "continuous_eval" or (model_dir / "checkpoint").exists():
        return
    options = config.model_options
    initial = require_filled(options.initial_checkpoint, "model_options.initial_checkpoint")
    if not initial and mode in TRAINING_MODES:
        require_filled(options.pretrained_weights, "model_options.pretrained_weights")


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


def require_writable(folder: pathlib.Path, *, create: bool, flag: str = "--model_dir") -> None:
    """Raises ValueError when a folder cannot be written.

    Args:
      folder: of a run, or of other output.
      create: make it if it is missing; else only look whether that would be possible.
      flag: that gave the folder.
    """
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"`{flag}` {folder} cannot be written: {error.strerror or error}."
        ) from None


def _patterns(options: data_pb2.DatasetOptions, part: str) -> Sequence[str]:
    if not options.file_pattern:
        raise ValueError(f"`{part}.file_pattern` must name record files; it is empty.")
    return [require_filled(pattern, f"{part}.file_pattern") for pattern in options.file_pattern]


def _dataset_name(config: experiment_pb2.ExperimentOptions, part: str) -> str:
    return getattr(config, part).dataset_info or config.train_dataset_options.dataset_info


def _describe_incomplete(
    config: experiment_pb2.ExperimentOptions, part: str, files: Sequence[str]
) -> Optional[str]:
    """A sentence about the first split that lacks files; None if all are there.

    All files of the split are looked for, not only `files`: a pattern may choose some on purpose.
    """
    splits = {match.group(1, 3) for match in map(_SHARD.fullmatch, files) if match}
    for prefix, total in sorted(splits):
        siblings = map(_SHARD.fullmatch, _glob(f"{glob.escape(prefix)}-*-of-{total}*"))
        present = {m[2] for m in siblings if m and m.group(1, 3) == (prefix, total)}
        absent = int(total) - len(present)
        if absent > 0:
            command = build_command(_dataset_name(config, part), prefix)
            return (
                f"Only {len(present)} of the {int(total)} files {prefix}-*-of-{total}* "
                f"(`{part}.file_pattern`) are there ({absent} missing): finish the conversion "
                f"with `{command}`, which keeps those already there."
            )
    return None


def _glob(pattern: str) -> List[str]:
    if "://" not in pattern:
        return glob.glob(pattern)
    import tensorflow as tf

    return tf.io.gfile.glob(pattern)

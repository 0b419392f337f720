"""Data sets that are there, and room for a run."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import tempfile
from typing import Dict, Mapping

from trainer.doctor.finding import Finding

DATA_VARIABLE = "KMAX_DATA"
DEFAULT_DATA = "data"
ENOUGH_BYTES = 10 * 2**30
"""Six checkpoints of kMaX R50 with its slots take 5 GB, those of a larger model more."""

_SHARD = re.compile(r"(\w+)-\d{5,}-of-(\d{5,})")


def find_data(environment: Mapping[str, str] = os.environ) -> Finding:
    """The data sets in the folder that KMAX_DATA names, with the files of each split."""
    named = environment.get(DATA_VARIABLE)
    folder = pathlib.Path(named or DEFAULT_DATA)
    name = f"{DATA_VARIABLE} ({'set' if named else 'not set, so'} {folder})"
    data_sets = [_describe(path) for path in sorted(folder.glob("*/tfrecords"))]
    if data_sets:
        return Finding(name, "; ".join(data_sets))
    if named and not folder.is_dir():
        problem = f"{DATA_VARIABLE} names the folder {folder}, which is not there."
        return Finding(name, "no data sets", problem, f"unset {DATA_VARIABLE}")
    return Finding(
        name,
        "no data sets",
        f"There are no records in {folder}/*/tfrecords.",
        f"kmax build-data shapes --output_dir={folder}/shapes",
    )


def _describe(folder: pathlib.Path) -> str:
    """`coco: train 1000 files, val 49 of 50 files`."""
    splits: Dict[tuple, int] = {}
    for path in folder.iterdir():
        match = _SHARD.match(path.name)
        if match:
            splits[match.groups()] = splits.get(match.groups(), 0) + 1
    counts = [
        f"{split} {count}{'' if count == int(total) else f' of {int(total)}'} files"
        for (split, total), count in sorted(splits.items())
    ]
    return f"{folder.parent.name}: {', '.join(counts) or 'no record files'}"


def find_room(model_dir: pathlib.Path) -> Finding:
    """Whether a run folder can be written, and how much room there is."""
    folder = next(p for p in (model_dir, *model_dir.absolute().parents) if p.exists())
    name = f"run folder {model_dir}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        problem = f"{folder} cannot be written: {error.strerror or error}."
        return Finding(name, "not writable", problem, "kmax doctor --model_dir=FOLDER", True)
    value = f"{free / 2**30:.1f} GiB free"
    if free >= ENOUGH_BYTES:
        return Finding(name, value)
    problem = f"{value}, a run of a large model may need {ENOUGH_BYTES / 2**30:.0f} GiB or more."
    return Finding(name, value, problem, "kmax doctor --model_dir=FOLDER")

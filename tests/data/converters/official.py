"""Small folders in the official layouts, whose annotations are those of the golden cases."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, List, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from kmax_tf.data import schema
from kmax_tf.structures import DatasetInfo


class Case(NamedTuple):
    """One golden annotation: colours uint8 [h, w, 3], its segments, labels int32 [h, w]."""

    colors: np.ndarray
    segments: List[Dict[str, Any]]
    label: np.ndarray


def load_case(golden: pathlib.Path, name: str) -> Case:
    """A golden case; `label` keeps crowd where there is any."""
    arrays = np.load(golden / "data" / "tfrecord.npz")
    segments = json.loads((golden / "data" / "tfrecord.json").read_text())[name]["segments_info"]
    key = f"{name}/label_crowd_ignored_False"
    key = key if key in arrays.files else f"{name}/label_crowd_ignored_True"  # ADE20K: no crowd
    return Case(arrays[f"{name}/panoptic_png"], segments, arrays[key])


def pixels(case: Case, seed: int) -> np.ndarray:
    """An image of the size of the annotation, uint8 [h, w, 3]."""
    return np.random.default_rng(seed).integers(0, 256, case.colors.shape, np.uint8)


def save(path: pathlib.Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_json(path: pathlib.Path, annotations: List[Dict[str, Any]], **fields: Any) -> None:
    path.write_text(
        json.dumps({"images": [], "categories": [], "annotations": annotations, **fields})
    )


def read(folder: pathlib.Path, split: str) -> Dict[str, schema.Record]:
    """All records of a split by name."""
    parsed = {}
    for path in sorted(folder.glob(f"{split}-*.tfrecord")):
        for serialized in tf.data.TFRecordDataset(str(path)):
            record = schema.parse_record(serialized, decode_label=split != "test")
            parsed[record.file_name.numpy().decode()] = record
    return parsed


def check_segments(
    case: Case, label: np.ndarray, info: DatasetInfo, classes: Dict[int, int]
) -> None:
    """Follows every segment of the annotation, and every pixel outside them, into the label."""
    ids = case.colors.astype(np.int64) @ [1, 256, 65536]
    instances = set()
    outside = np.ones(ids.shape, bool)
    for segment in case.segments:
        mask = ids == segment["id"]
        outside &= ~mask
        (value,) = np.unique(label[mask])
        class_id, instance = divmod(int(value), info.label_divisor)
        assert class_id == classes[segment["category_id"]]
        counted = class_id in info.thing_ids and not segment["iscrowd"]
        assert (instance > 0) == counted
        assert not counted or value not in instances
        instances.add(value)
    assert (label[outside] == info.ignore_label * info.label_divisor).all()

"""A COCO folder of a few hand-made images, in the official layout."""

from __future__ import annotations

import json
import pathlib
from typing import Dict, List

import numpy as np
from PIL import Image

from kmax_tf.data.dataset_info import load_dataset_info

# Category ids of COCO: person, car, tree-merged, sky-other-merged, grass-merged.
PERSON, CAR, TREE, SKY, GRASS = 1, 3, 184, 187, 193


def write_coco_folder(folder: pathlib.Path, images_per_split: int = 2) -> pathlib.Path:
    """Writes `train2017/`, `val2017/` and `annotations/`, with a crowd and unlabelled pixels."""
    info = load_dataset_info("coco_panoptic")
    categories = [
        {"id": original, "name": name, "isthing": int(thing), "color": list(color)}
        for original, name, thing, color in zip(
            info.original_ids, info.names, info.is_thing, info.colors
        )
    ]
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        images, annotations = [], []
        for index in range(images_per_split):
            name = f"{index:012d}"
            height, width = 120 + 20 * index, 150
            _write_image(folder, split, name, height, width, generator)
            images.append(
                {"id": index, "file_name": f"{name}.jpg", "height": height, "width": width}
            )
            segments = _write_labels(folder, split, name, height, width)
            annotations.append(
                {"image_id": index, "file_name": f"{name}.png", "segments_info": segments}
            )
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"annotations/panoptic_{split}2017.json").write_text(json.dumps(content))
    return folder


def _write_image(folder, split, name, height, width, generator) -> None:
    path = folder / f"{split}2017/{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(path)


def _write_labels(folder, split, name, height, width) -> List[Dict]:
    ids = np.zeros([height, width], np.uint32)
    segments = []
    regions = [
        (SKY, slice(0, 50), slice(0, width), 0),
        (GRASS, slice(60, height), slice(0, width), 0),
        (PERSON, slice(30, 90), slice(10, 40), 0),
        (PERSON, slice(30, 90), slice(60, 90), 0),
        (CAR, slice(80, 110), slice(95, 145), 0),
        (PERSON, slice(0, 20), slice(100, 140), 1),
    ]
    for number, (category, rows, columns, crowd) in enumerate(regions):
        identity = 1000 * (number + 1) + 7
        ids[rows, columns] = identity
        segments.append({"id": identity, "category_id": category, "iscrowd": crowd})
    for segment in segments:
        segment["area"] = int((ids == segment["id"]).sum())
    path = folder / f"annotations/panoptic_{split}2017/{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1)
    Image.fromarray(channels.astype(np.uint8)).save(path)
    return segments

"""The embedded data set: drawn scenes, written as real files in COCO panoptic format.

`images/*.jpg`, `panoptic_{train,val}/*.png`, `panoptic_{train,val}.json`; the records are then made
from these files by the converter that any data set in that format goes through.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any, Dict, List, Optional

import numpy as np
from PIL import Image

from kmax_tf.data.converters import coco, shapes_drawing, shards, source_files
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.json_files import MAX_ANNOTATION_BYTES, read_json
from kmax_tf.structures import DatasetInfo

SPLITS = ("train", "val")
_VERSION = 1  # to be raised when the drawing changes, so that old files are drawn again


def build_shapes(
    *,
    output_dir: str,
    num_train: int,
    num_val: int,
    seed: int,
    options: shapes_drawing.SceneOptions,
) -> List[Dict[str, Any]]:
    """Draws the data set and converts it; what is already there is not made again.

    Args:
      output_dir: gets the files above and `tfrecords/`.
      num_train: number of training images.
      num_val: number of validation images.
      seed: other seeds give other scenes; an image depends on seed, split and index only.
      options: how hard the scenes are.

    Returns:
      The report of each split.

    Raises:
      ValueError: a number of images below 1.
    """
    if min(num_train, num_val) < 1:
        raise ValueError(
            f"`num_train` and `num_val` must be at least 1; received {num_train} and {num_val}."
        )
    info = load_dataset_info("shapes")
    root = pathlib.Path(output_dir)
    for index, (split, count) in enumerate(zip(SPLITS, (num_train, num_val))):
        draw_split(root, split, count, seed=[seed, index], info=info, options=options)
    sources = [source for source in coco.find_sources(output_dir) if source.split in SPLITS]
    # A broken file of its own is no file to leave out.
    return coco.convert_coco_format(
        sources, output_dir=str(root / "tfrecords"), name="shapes", strict=True
    )


def draw_split(
    root: pathlib.Path,
    split: str,
    count: int,
    *,
    seed: List[int],
    info: DatasetInfo,
    options: shapes_drawing.SceneOptions,
) -> None:
    """Draws one split; its JSON is written last and says that all files are there."""
    description = json.dumps([_VERSION, split, count, seed, dataclasses.asdict(options)])
    panoptic_json = root / f"panoptic_{split}.json"
    if panoptic_json.is_file() and _description_in(panoptic_json) == description:
        return
    images_dir, panoptic_dir = root / "images", root / f"panoptic_{split}"
    images_dir.mkdir(parents=True, exist_ok=True)
    panoptic_dir.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with shards.Progress(count, f"Drawing {split}") as progress:
        for index in range(count):
            name = f"{split}_{index:06d}"
            scene = shapes_drawing.draw_scene(options, np.random.default_rng([*seed, index]))
            # 4:4:4 chroma: at this size halved chroma would smear the colours of small things.
            Image.fromarray(scene.image).save(
                images_dir / f"{name}.jpg", "JPEG", quality=92, subsampling=0
            )
            segment_ids, segments = _annotate(scene, info)
            source_files.write_segment_ids(segment_ids, panoptic_dir / f"{name}.png")
            height, width = scene.segment_map.shape
            images.append(
                {"id": index, "file_name": f"{name}.jpg", "height": height, "width": width}
            )
            annotations.append(
                {"image_id": index, "file_name": f"{name}.png", "segments_info": segments}
            )
            progress.advance(1)
    content = {
        "info": {"description": description},
        "images": images,
        "annotations": annotations,
        "categories": _categories(info),
    }
    shards.write_atomically(panoptic_json, json.dumps(content))


def _description_in(panoptic_json: pathlib.Path) -> Optional[str]:
    """What a split was drawn from; None where the JSON is none of ours, or damaged."""
    try:
        return read_json(panoptic_json, MAX_ANNOTATION_BYTES)["info"]["description"]
    except (ValueError, TypeError, KeyError):
        return None


def _annotate(scene: shapes_drawing.Scene, info: DatasetInfo) -> tuple:
    """COCO segment ids, int [h, w], near the class colours to be good to look at; and the list."""
    segment_ids = np.zeros(scene.segment_map.shape, np.int64)
    segments = []
    taken = {0}
    for segment in scene.segments:
        position = info.names.index(segment.class_name)
        red, green, blue = info.colors[position]
        # Numbers of one image step through the low bits of all three colours.
        shift = 37 * segment.number
        segment_id = 0
        while segment_id in taken:
            red, green, blue = (c ^ (shift & 31) for c in (red, green, blue))
            segment_id = red + 256 * green + 65536 * blue
            shift += 1
        taken.add(segment_id)
        mask = scene.segment_map == segment.number
        segment_ids[mask] = segment_id
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
        segments.append(
            {
                "id": segment_id,
                "category_id": info.original_ids[position],
                "iscrowd": int(segment.is_crowd),
                "area": int(np.count_nonzero(mask)),
                "bbox": box,
            }
        )
    return segment_ids, segments


def _categories(info: DatasetInfo) -> List[Dict[str, Any]]:
    """The classes in COCO's form."""
    rows = zip(info.original_ids, info.names, info.is_thing, info.colors)
    return [
        {"id": i, "name": name, "isthing": int(thing), "color": list(color)}
        for i, name, thing, color in rows
    ]

"""Converts a data set in COCO instance format: polygons or run lengths, things only.

Instances may overlap in such a data set, in a panoptic map they cannot: smaller instances lie on
top of larger ones, of equally large ones the later in the file. Crowd regions lie below all
instances and are instance 0 of their class. Pixels of nothing are void.
"""

from __future__ import annotations

import collections
import functools
import pathlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.data import dataset_info, schema
from kmax_tf.data.converters import coco, coco_json, instance_masks, shards, source_files
from kmax_tf.data.converters.source_error import SourceError
from kmax_tf.safe_paths import path_inside
from kmax_tf.structures import DatasetInfo

_KEYS = {
    "images": {"id": (int, str), "file_name": (str,)},
    "annotations": {"image_id": (int, str), "category_id": (int,)},
    "categories": {"id": (int,)},
}


class Instance(NamedTuple):
    """One annotation. `name` is for messages, `segmentation` as in the JSON."""

    name: str
    class_id: int
    is_crowd: bool
    segmentation: Any


class InstanceItem(NamedTuple):
    """One image to convert; its stated size is None if the JSON does not have it."""

    image: str
    size: Optional[Tuple[int, int]]
    instances: Tuple[Instance, ...]


def convert_coco_instances(
    *,
    images_dir: str,
    annotations: str,
    output_dir: str,
    split: str,
    num_shards: Optional[int] = None,
    strict: bool = False,
) -> Dict[str, Any]:
    """Converts one split.

    Args:
      images_dir: folder that the JSON's image file names are relative to.
      annotations: the JSON, with `images`, `annotations` and `categories`.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      split: first part of the names of the records.
      num_shards: None = one per hundred images.
      strict: whether the first unusable image is an error instead of being left out.

    Returns:
      The report (see `shards.write_shards`). Images without annotations are kept: all void.

    Raises:
      ValueError: annotations that are missing or broken, or no usable image.
    """
    path = pathlib.Path(annotations)
    content = read_instances_json(path)
    info = _make_info(content, path, pathlib.Path(output_dir).absolute().name)
    info = coco.agree_with_written(info, output_dir)
    items, dropped = _collect(content, info, pathlib.Path(images_dir), path)
    report = shards.write_shards(
        items,
        functools.partial(encode_item, info=info),
        output_dir=output_dir,
        split=split,
        num_shards=num_shards or -(-len(items) // coco.IMAGES_PER_SHARD),
        identity=dataset_info.format_dataset_info(info),
        files_of=files_of,
        dropped=dropped,
        strict=strict,
    )
    dataset_info.save_dataset_info(info, str(pathlib.Path(output_dir, coco.INFO_FILE)))
    return report


def read_instances_json(path: pathlib.Path) -> Dict[str, Any]:
    """Reads a COCO instance JSON and checks everything the converter reads from it.

    Raises:
      ValueError: no such file, no JSON, or an entry without one of the keys it must have.
    """
    content = coco_json.load_json(path)
    missing = [key for key in _KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(
            f"Annotation file {path} must be in COCO instance format, with `images`, "
            f"`annotations` and `categories`; it lacks {missing}."
        )
    for annotation in content["annotations"] if isinstance(content["annotations"], list) else []:
        if isinstance(annotation, dict) and "segments_info" in annotation:
            raise ValueError(
                f"Annotation file {path} is in COCO panoptic format, which "
                "`kmax build-data coco_format` converts; coco_instances needs an instances JSON."
            )
    for part, keys in _KEYS.items():
        coco_json.check_entries(content[part], keys, path, f"`{part}`")
    counts = collections.Counter(category["id"] for category in content["categories"])
    if any(count > 1 for count in counts.values()):
        raise ValueError(
            f"Annotation file {path}: ids of `categories` must be distinct; category "
            f"{counts.most_common(1)[0][0]} is there twice."
        )
    return content


def encode_item(item: InstanceItem, *, info: DatasetInfo) -> shards.EncodedRecord:
    """Reads the image, draws its instances and serialises both.

    Raises:
      SourceError: the image or one of its annotations cannot be used.
    """
    image = source_files.read_image(pathlib.Path(item.image))
    size = (image.height, image.width)
    if item.size is not None and item.size != size:
        raise SourceError(
            f"Image {item.image} must have the size that its annotations state, "
            f"{item.size[0]}x{item.size[1]}; it is {size[0]}x{size[1]}.",
            "image of another size than its annotations state",
        )
    panoptic, statistics = draw_instances(item, size, info)
    serialized = schema.encode_record(
        image.content,
        file_name=pathlib.Path(item.image).stem,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        panoptic=panoptic,
    )
    return shards.EncodedRecord(serialized, statistics)


def draw_instances(
    item: InstanceItem, size: Tuple[int, int], info: DatasetInfo
) -> Tuple[np.ndarray, shards.Statistics]:
    """Makes the panoptic map of an image.

    Args:
      item: the image and its instances.
      size: its height and width.
      info: the classes.

    Returns:
      int32 [height, width], instances numbered from 1 per class in the order of the file; and
      what is to be counted.

    Raises:
      SourceError: a segmentation that is none, or does not fit the image.
    """
    statistics: collections.Counter = collections.Counter()
    masks = {}
    for index, instance in enumerate(item.instances):
        try:
            mask = instance_masks.read_segmentation(instance.segmentation, *size)
        except ValueError as error:
            message = f"{instance.name} of image {item.image}: {error}."
            raise SourceError(message, "broken segmentation") from error
        if mask is None:
            statistics["dropped/annotation without pixels"] += 1
        else:
            masks[index] = mask
    owner = np.full(size, -1, np.int32)  # index of the instance on top; -1: of none
    for index in sorted(masks, key=lambda i: (not item.instances[i].is_crowd, -masks[i].area, i)):
        owner[masks[index].pixels()] = index
    visible = set(np.unique(owner).tolist())
    values = np.full(len(item.instances) + 1, info.void_panoptic, np.int32)
    numbers: collections.Counter = collections.Counter()
    for index in masks:
        instance = item.instances[index]
        if index not in visible:
            statistics["dropped/annotation covered by smaller ones"] += 1
            continue
        if not instance.is_crowd:
            numbers[instance.class_id] += 1
        number = 0 if instance.is_crowd else numbers[instance.class_id]
        values[index] = labels.panoptic_id(instance.class_id, number, info.label_divisor)
        kind = "crowd" if instance.is_crowd else "segments"
        statistics[f"{kind}/{info.name_of(instance.class_id)}"] += 1
    return values[owner], dict(statistics)


def files_of(item: InstanceItem) -> Tuple[str]:
    """Paths that the record of an item is made from."""
    return (item.image,)


def _make_info(content: Dict[str, Any], path: pathlib.Path, name: str) -> DatasetInfo:
    """The classes, all things, with a label divisor that fits the image with most instances."""
    segments = collections.defaultdict(list)
    for annotation in content["annotations"]:
        segments[annotation["image_id"]].append(annotation)
    panoptic = {
        "categories": [{**category, "isthing": 1} for category in content["categories"]],
        "annotations": [{"segments_info": each} for each in segments.values()],
    }
    source = coco.CocoSource("", path.parent, path, path.parent)
    return coco.info_from_categories([panoptic], [source], name=name)


def _collect(
    content: Dict[str, Any], info: DatasetInfo, images_dir: pathlib.Path, path: pathlib.Path
) -> Tuple[List[InstanceItem], Dict[str, int]]:
    """Gives every image its annotations, in the order of the file; the images sorted by path."""
    classes = dict(zip(info.original_ids, info.class_ids))
    instances: Dict[Any, List[Instance]] = {image["id"]: [] for image in content["images"]}
    dropped: collections.Counter = collections.Counter()
    for index, annotation in enumerate(content["annotations"]):
        if annotation["image_id"] not in instances:
            dropped["annotation of an unknown image"] += 1
        elif annotation["category_id"] not in classes:
            dropped["annotation of an unknown category"] += 1
        else:
            instances[annotation["image_id"]].append(
                Instance(
                    f"Annotation {annotation.get('id', f'number {index}')}",
                    classes[annotation["category_id"]],
                    bool(annotation.get("iscrowd", 0)),
                    annotation.get("segmentation", []),
                )
            )
    _check_names(content["images"], path)
    items = []
    for image in content["images"]:
        what = f"`file_name` of an image in {path}"
        file = path_inside(images_dir, image["file_name"], what=what)
        size = (image["height"], image["width"]) if {"height", "width"} <= image.keys() else None
        items.append(InstanceItem(str(file), size, tuple(instances[image["id"]])))
    return sorted(items, key=lambda item: item.image), dict(dropped)


def _check_names(images: Sequence[Dict[str, Any]], path: pathlib.Path) -> None:
    """Raises ValueError if two images have one id, or one name in the records."""
    ids, names = {}, {}
    for image in images:
        stem = pathlib.Path(image["file_name"]).stem
        for key, known, what in ((image["id"], ids, "ids"), (stem, names, "names")):
            if key in known:
                raise ValueError(
                    f"Annotation file {path}: `images` {known[key]} and {image['file_name']} must "
                    f"differ in their {what} (names without folder and extension)."
                )
            known[key] = image["file_name"]

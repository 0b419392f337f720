"""Converts any data set in COCO panoptic format, and COCO itself.

The format (cocodataset.org, "Panoptic Segmentation"): images; per image a PNG whose colours are
segment ids; a JSON with `images`, `annotations` (file name of the PNG, list of segments) and
`categories` (id, name, isthing, and possibly a colour).
"""

from __future__ import annotations

import collections
import pathlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from kmax_tf.data import dataset_info
from kmax_tf.data.converters import coco_json, panoptic_items
from kmax_tf.data.converters.panoptic_items import INFO_FILE, Pairs, PanopticItem
from kmax_tf.palette import distinct_colors
from kmax_tf.safe_paths import path_inside
from kmax_tf.structures import DatasetInfo

DEFAULT_SHARDS = 1000  # of COCO, as in deeplab2
OFFICIAL_IMAGES = {"train": 118287, "val": 5000, "test": 40670}
IMAGES_PER_SHARD = 100  # of other data sets


class CocoSource(NamedTuple):
    """Where one split lies.

    Attributes:
      split: name of the records.
      images_dir: folder that the JSON's image file names are relative to.
      panoptic_json: the annotations.
      panoptic_dir: folder of the PNGs.
    """

    split: str
    images_dir: pathlib.Path
    panoptic_json: pathlib.Path
    panoptic_dir: pathlib.Path


def find_sources(input_dir: str) -> List[CocoSource]:
    """The splits of a folder with `panoptic_<split>.json`, `panoptic_<split>/` and `images/`.

    Raises:
      ValueError: there is no such JSON.
    """
    root = pathlib.Path(input_dir)
    sources = [
        CocoSource(path.stem[len("panoptic_") :], root / "images", path, path.with_suffix(""))
        for path in sorted(root.glob("panoptic_*.json"))
    ]
    if not sources:
        raise ValueError(
            f"`input_dir` {root.absolute()} must hold panoptic_<split>.json (with the PNGs in "
            "panoptic_<split>/ and the images in images/); found none. Use --images_dir, "
            "--panoptic_json and --panoptic_dir for another layout."
        )
    return sources


def convert_coco_format(
    sources: Sequence[CocoSource],
    *,
    output_dir: str,
    num_shards: Optional[int] = None,
    info: Optional[DatasetInfo] = None,
    name: str = "custom",
    strict: bool = False,
) -> List[Dict[str, Any]]:
    """Converts splits of a data set in COCO panoptic format, crowd kept as instance 0.

    Args:
      sources: the splits; all must have the same categories.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      num_shards: per split; None = one per hundred images.
      info: classes; None = those of the JSON, numbered from 1 in the order of their ids.
      name: of the data set, if `info` is None.
      strict: whether the first unusable image is an error instead of being left out.

    Returns:
      One report per split (see `shards.write_shards`).

    Raises:
      ValueError: annotations that are missing, broken or contradict one another, or none of the
        images can be used.
    """
    contents = [coco_json.read_coco_json(source.panoptic_json) for source in sources]
    if info is None:
        info = info_from_categories(contents, sources, name=name)
        info = agree_with_written(info, output_dir)
    reports = []
    for source, content in zip(sources, contents):
        pairs = _collect(source, content)
        report = panoptic_items.write_split(
            pairs,
            info,
            panoptic_items.class_table(info, info.original_ids),
            output_dir=output_dir,
            split=source.split,
            num_shards=num_shards or -(-len(pairs.items) // IMAGES_PER_SHARD),
            strict=strict,
        )
        reports.append(report)
    return reports


def convert_coco_panoptic(
    *,
    input_dir: str,
    output_dir: str,
    split: str,
    num_shards: Optional[int] = None,
    strict: bool = False,
) -> List[Dict[str, Any]]:
    """Converts COCO in its official layout.

    Args:
      input_dir: holds `train2017/`, `val2017/`, `test2017/` and `annotations/`.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      split: `train`, `val`, `test` (no labels) or `all` (train and val).
      num_shards: per split; None = 1000, or one per image if there are fewer.
      strict: whether the first unusable image is an error instead of being left out.

    Raises:
      ValueError: as `convert_coco_format`.
    """
    info = dataset_info.load_dataset_info("coco_panoptic")
    reports = []
    for name in ("train", "val") if split == "all" else (split,):
        images_dir = pathlib.Path(input_dir) / f"{name}2017"
        images = sorted(images_dir.glob("*.jpg"))
        if not images:
            raise ValueError(
                f"`input_dir` {input_dir} must hold the {name} images as {images_dir}/*.jpg; "
                "found none."
            )
        annotations = pathlib.Path(input_dir) / "annotations" / f"panoptic_{name}2017"
        if name == "test":
            items = [PanopticItem(str(image), image.stem, None, ()) for image in images]
            pairs = Pairs(items, [], [])
        else:
            content = coco_json.read_coco_json(annotations.with_suffix(".json"))
            pairs = panoptic_items.pair(
                {image.stem: image for image in images},
                {pathlib.Path(entry["file_name"]).stem: entry for entry in content["annotations"]},
                panoptic_dir=annotations,
                panoptic_json=annotations.with_suffix(".json"),
            )
        report = panoptic_items.write_split(
            pairs,
            info,
            panoptic_items.class_table(info, info.original_ids),
            output_dir=output_dir,
            split=name,
            num_shards=num_shards or DEFAULT_SHARDS,
            strict=strict,
            official_images=OFFICIAL_IMAGES[name],
        )
        reports.append(report)
    return reports


def info_from_categories(
    contents: Sequence[Dict[str, Any]], sources: Sequence[CocoSource], *, name: str
) -> DatasetInfo:
    """Makes the description of a data set from the categories of its JSON files.

    Class ids are 1..n in the order of the original ids, void is 0. The label divisor is 256, or
    the power of two above twice the largest number of instances of a class in an image.
    """
    categories = sorted(contents[0]["categories"], key=lambda category: category["id"])
    for source, content in zip(sources, contents):
        if sorted(content["categories"], key=lambda category: category["id"]) != categories:
            raise ValueError(
                f"`categories` of {source.panoptic_json} must be those of "
                f"{sources[0].panoptic_json}; they differ."
            )
    most_instances = 0
    for content in contents:
        for annotation in content["annotations"]:
            segments = annotation["segments_info"]
            counts = collections.Counter(segment["category_id"] for segment in segments)
            most_instances = max([most_instances, *counts.values()])
    divisor = 256
    while divisor <= 2 * most_instances:
        divisor *= 2
    palette = distinct_colors(len(categories))
    classes = [
        {
            "id": index + 1,
            "original_id": category["id"],
            "name": category.get("name", str(category["id"])),
            "is_thing": bool(category.get("isthing", 1)),
            "color": category.get("color", palette[index]),
        }
        for index, category in enumerate(categories)
    ]
    content = {
        "name": name,
        "num_classes": len(classes) + 1,
        "ignore_label": 0,
        "label_divisor": divisor,
        "classes": classes,
    }
    return dataset_info.parse_dataset_info(content, source=str(sources[0].panoptic_json))


def agree_with_written(info: DatasetInfo, output_dir: str) -> DatasetInfo:
    """Keeps the description already in `output_dir`, so that splits converted apart fit."""
    path = pathlib.Path(output_dir, INFO_FILE)
    if not path.is_file():
        return info
    written = dataset_info.load_dataset_info(str(path))
    same_classes = (written.original_ids, written.names, written.is_thing) == (
        info.original_ids,
        info.names,
        info.is_thing,
    )
    if not same_classes or written.label_divisor < info.label_divisor:
        raise ValueError(
            f"{path} describes other classes, or a smaller label divisor, than these annotations "
            "need: convert all splits in one command, or choose another `output_dir`."
        )
    return written


def _collect(source: CocoSource, content: Dict[str, Any]) -> Pairs:
    """Pairs the images of the JSON with their annotations, sorted by path.

    Raises:
      ValueError: a file lies outside its folder, or two images have the same name without folder
        and extension, which is all that records and predictions keep of it.
    """
    annotations = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    pairs = Pairs([], [], [])
    names: Dict[str, str] = {}
    for image in content["images"]:
        stem = pathlib.Path(image["file_name"]).stem
        if stem in names:
            raise ValueError(
                f"Annotation file {source.panoptic_json}: `images` {names[stem]} and "
                f"{image['file_name']} must differ in their names without folder and extension, "
                "by which predictions are named; rename one of them."
            )
        names[stem] = image["file_name"]
        annotation = annotations.get(image["id"])
        what = f"`file_name` of an image in {source.panoptic_json}"
        path = path_inside(source.images_dir, image["file_name"], what=what)
        if annotation is None:
            pairs.skipped.append(panoptic_items.unannotated(path, source.panoptic_json))
            continue
        if not path.is_file() and (source.images_dir / source.split).is_dir():
            path = source.images_dir / source.split / image["file_name"]
        png = panoptic_items.png_path(source.panoptic_dir, annotation, source.panoptic_json)
        segments = panoptic_items.source_segments(annotation)
        pairs.items.append(PanopticItem(str(path), path.stem, str(png), segments))
    pairs.items.sort(key=lambda item: item.image)
    return pairs

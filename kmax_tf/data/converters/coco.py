"""Converts any data set in COCO panoptic format, and COCO itself.

The format (cocodataset.org, "Panoptic Segmentation"): images; per image a PNG whose colours are
segment ids; a JSON with `images`, `annotations` (file name of the PNG, list of segments) and
`categories` (id, name, isthing, and possibly a colour).
"""

from __future__ import annotations

import collections
import functools
import pathlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from kmax_tf.data import dataset_info, schema
from kmax_tf.data.converters import coco_json, shards, source_files
from kmax_tf.data.converters.panoptic_map import Segment, make_panoptic_map
from kmax_tf.structures import DatasetInfo

INFO_FILE = "dataset_info.json"
DEFAULT_SHARDS = 1000  # of COCO, as in deeplab2
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


class CocoItem(NamedTuple):
    """One image to convert; without `panoptic_png` it has no labels."""

    image: str
    panoptic_png: Optional[str]
    segments: Tuple[Segment, ...]


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
) -> List[Dict[str, Any]]:
    """Converts splits of a data set in COCO panoptic format, crowd kept as instance 0.

    Args:
      sources: the splits; all must have the same categories.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      num_shards: per split; None = one per hundred images.
      info: classes; None = those of the JSON, numbered from 1 in the order of their ids.
      name: of the data set, if `info` is None.

    Returns:
      One report per split (see `shards.write_shards`).

    Raises:
      ValueError: files that are missing, broken or contradict one another.
    """
    contents = [coco_json.read_coco_json(source.panoptic_json) for source in sources]
    if info is None:
        info = info_from_categories(contents, sources, name=name)
        info = agree_with_written(info, output_dir)
    reports = []
    for source, content in zip(sources, contents):
        items, dropped = _collect(source, content, info)
        count = num_shards or -(-len(items) // IMAGES_PER_SHARD)
        reports.append(_write(items, info, output_dir, source.split, count, dropped))
    return reports


def convert_coco_panoptic(
    *, input_dir: str, output_dir: str, split: str, num_shards: Optional[int] = None
) -> List[Dict[str, Any]]:
    """Converts COCO in its official layout.

    Args:
      input_dir: holds `train2017/`, `val2017/`, `test2017/` and `annotations/`.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      split: `train`, `val`, `test` (no labels) or `all` (train and val).
      num_shards: per split; None = 1000, or one per image if there are fewer.

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
            items = [CocoItem(str(image), None, ()) for image in images]
        else:
            content = coco_json.read_coco_json(annotations.with_suffix(".json"))
            items = _match_by_stem(images, annotations, content, info)
        reports.append(_write(items, info, output_dir, name, num_shards or DEFAULT_SHARDS, {}))
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
    palette = dataset_info.default_palette(len(categories))
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


def encode_item(item: CocoItem, *, info: DatasetInfo) -> shards.EncodedRecord:
    """Reads the files of one image and serialises them."""
    image = source_files.read_image(pathlib.Path(item.image))
    statistics: collections.Counter = collections.Counter()
    panoptic = None
    if item.panoptic_png is not None:
        segment_ids = source_files.read_segment_ids(pathlib.Path(item.panoptic_png))
        if segment_ids.shape != (image.height, image.width):
            raise ValueError(
                f"Panoptic PNG {item.panoptic_png} must have the size of its image {item.image}, "
                f"{image.height}x{image.width}; it is {segment_ids.shape[0]}x"
                f"{segment_ids.shape[1]}."
            )
        panoptic, dropped = make_panoptic_map(
            segment_ids,
            item.segments,
            ignore_label=info.ignore_label,
            label_divisor=info.label_divisor,
            crowd_as_void=False,
            source=item.panoptic_png,
        )
        for segment in item.segments:
            kind = "crowd" if segment.is_crowd else "segments"
            statistics[f"{kind}/{info.name_of(segment.class_id)}"] += 1
        statistics.update({f"dropped/{reason}": count for reason, count in dropped.items()})
    serialized = schema.encode_record(
        image.content,
        file_name=pathlib.Path(item.image).stem,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        panoptic=panoptic,
    )
    return shards.EncodedRecord(serialized, dict(statistics))


def files_of(item: CocoItem) -> Tuple[str, ...]:
    """Paths that the record of an item is made from."""
    return (item.image,) if item.panoptic_png is None else (item.image, item.panoptic_png)


def _write(
    items: Sequence[CocoItem],
    info: DatasetInfo,
    output_dir: str,
    split: str,
    num_shards: int,
    dropped: Dict[str, int],
) -> Dict[str, Any]:
    """Writes the records of one split and, once, the description of the classes."""
    report = shards.write_shards(
        items,
        functools.partial(encode_item, info=info),
        output_dir=output_dir,
        split=split,
        num_shards=num_shards,
        identity=dataset_info.format_dataset_info(info),
        files_of=files_of,
        dropped=dropped,
    )
    dataset_info.save_dataset_info(info, str(pathlib.Path(output_dir, INFO_FILE)))
    return report


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


def _collect(
    source: CocoSource, content: Dict[str, Any], info: DatasetInfo
) -> Tuple[List[CocoItem], Dict[str, int]]:
    """Pairs the images of the JSON with their annotations, sorted by path.

    Raises:
      ValueError: two images have the same name without folder and extension, which is all that
        records and predictions keep of it; or a segment has an unknown category.
    """
    annotations = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    items, dropped = [], 0
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
        if annotation is None:
            dropped += 1
            continue
        path = source.images_dir / image["file_name"]
        if not path.is_file() and (source.images_dir / source.split).is_dir():
            path = source.images_dir / source.split / image["file_name"]
        png = source.panoptic_dir / annotation["file_name"]
        segments = _segments(annotation, info, source.panoptic_json)
        items.append(CocoItem(str(path), str(png), segments))
    return sorted(items), {"image without annotation": dropped}


def _match_by_stem(
    images: Sequence[pathlib.Path],
    panoptic_dir: pathlib.Path,
    content: Dict[str, Any],
    info: DatasetInfo,
) -> List[CocoItem]:
    """Pairs image files with the annotations of the same name."""
    by_stem = {pathlib.Path(a["file_name"]).stem: a for a in content["annotations"]}
    items = []
    for image in images:
        annotation = by_stem.get(image.stem)
        if annotation is None:
            raise ValueError(f"Image {image} has no annotation in {panoptic_dir}.json.")
        png = panoptic_dir / annotation["file_name"]
        segments = _segments(annotation, info, panoptic_dir.with_suffix(".json"))
        items.append(CocoItem(str(image), str(png), segments))
    return items


def _segments(
    annotation: Dict[str, Any], info: DatasetInfo, source: pathlib.Path
) -> Tuple[Segment, ...]:
    """The segment list of an annotation, in contiguous class ids."""
    classes = _class_table(info)
    segments = []
    for segment in annotation["segments_info"]:
        if segment["category_id"] not in classes:
            raise ValueError(
                f"Annotation file {source}: a segment of {annotation['file_name']} has category "
                f"{segment['category_id']}, which is not among the {len(classes)} classes of "
                f"{info.name!r}."
            )
        class_id, is_thing = classes[segment["category_id"]]
        crowd = bool(segment.get("iscrowd", 0))
        segments.append(Segment(segment["id"], class_id, is_thing, crowd, segment.get("area")))
    return tuple(segments)


@functools.lru_cache(maxsize=4)
def _class_table(info: DatasetInfo) -> Dict[int, Tuple[int, bool]]:
    """Original class id -> contiguous id, is it a thing."""
    return dict(zip(info.original_ids, zip(info.class_ids, info.is_thing)))

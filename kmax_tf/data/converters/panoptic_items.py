"""From an image and its COCO panoptic annotation to a record; shared by all panoptic converters."""

from __future__ import annotations

import collections
import functools
import pathlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from kmax_tf.data import dataset_info, schema
from kmax_tf.data.converters import shards, source_files
from kmax_tf.data.converters.panoptic_map import Segment, make_panoptic_map
from kmax_tf.data.converters.source_error import SourceError
from kmax_tf.safe_paths import path_inside
from kmax_tf.structures import DatasetInfo

INFO_FILE = "dataset_info.json"

ClassTable = Dict[int, Tuple[int, bool]]
"""Category id of an annotation -> class id of the record, is it a thing."""


class SourceSegment(NamedTuple):
    """One segment as its annotation lists it; `area` is None where it is not to be checked."""

    id: int
    category_id: int
    is_crowd: bool
    area: Optional[int]


class PanopticItem(NamedTuple):
    """One image to convert.

    Attributes:
      image: path.
      name: of the record.
      panoptic_png: path; None without labels.
      segments: of the PNG.
    """

    image: str
    name: str
    panoptic_png: Optional[str]
    segments: Tuple[SourceSegment, ...]


class Pairs(NamedTuple):
    """Images with their annotations; what has no partner is in the two other fields."""

    items: List[PanopticItem]
    skipped: List[shards.Skipped]
    warnings: List[str]


def class_table(info: DatasetInfo, category_ids: Sequence[int]) -> ClassTable:
    """Table for annotations in which class `i` of `info` has the category `category_ids[i]`."""
    return dict(zip(category_ids, zip(info.class_ids, info.is_thing)))


def source_segments(
    annotation: Dict[str, Any], *, check_areas: bool = True
) -> Tuple[SourceSegment, ...]:
    """The segment list of an annotation."""
    return tuple(
        SourceSegment(
            segment["id"],
            segment["category_id"],
            bool(segment.get("iscrowd", 0)),
            segment.get("area") if check_areas else None,
        )
        for segment in annotation["segments_info"]
    )


def unannotated(image: pathlib.Path, panoptic_json: pathlib.Path) -> shards.Skipped:
    """The line of the report for an image that the annotations do not mention."""
    detail = f"Image {image} has no annotation in {panoptic_json}."
    return shards.Skipped(str(image), "image without annotation", detail)


def png_path(
    panoptic_dir: pathlib.Path, annotation: Dict[str, Any], panoptic_json: pathlib.Path
) -> pathlib.Path:
    """Path of the PNG of an annotation; ValueError where it lies outside the folder."""
    what = f"`file_name` of an annotation in {panoptic_json}"
    return path_inside(panoptic_dir, annotation["file_name"], what=what)


def pair(
    images: Dict[str, pathlib.Path],
    annotations: Dict[str, Dict[str, Any]],
    *,
    panoptic_dir: pathlib.Path,
    panoptic_json: pathlib.Path,
    check_areas: bool = True,
) -> Pairs:
    """Joins image files and annotations that have the same name.

    Args:
      images: name of the record -> path, in the order of the records.
      annotations: name of the record -> annotation.
      panoptic_dir: folder of the PNGs.
      panoptic_json: where the annotations come from, for messages.
      check_areas: whether the stated areas must be those of the PNG.

    Raises:
      ValueError: an annotation names a PNG outside the folder.
    """
    pairs = Pairs([], [], [])
    for name, image in images.items():
        annotation = annotations.get(name)
        if annotation is None:
            pairs.skipped.append(unannotated(image, panoptic_json))
            continue
        png = png_path(panoptic_dir, annotation, panoptic_json)
        segments = source_segments(annotation, check_areas=check_areas)
        pairs.items.append(PanopticItem(str(image), name, str(png), segments))
    alone = [name for name in annotations if name not in images]
    if alone:
        pairs.warnings.append(
            f"{len(alone)} annotations of {panoptic_json} have no image, the first is {alone[0]!r}."
        )
    return pairs


def encode_item(
    item: PanopticItem, *, info: DatasetInfo, classes: ClassTable
) -> shards.EncodedRecord:
    """Reads the files of one image and serialises them, crowd kept as instance 0.

    Raises:
      SourceError: the image cannot be used.
    """
    image = source_files.read_image(pathlib.Path(item.image))
    statistics: collections.Counter = collections.Counter()
    panoptic = None
    if item.panoptic_png is not None:
        segments = _segments(item, classes)
        segment_ids = source_files.read_segment_ids(pathlib.Path(item.panoptic_png))
        if segment_ids.shape != (image.height, image.width):
            raise SourceError(
                f"Panoptic PNG {item.panoptic_png} must have the size of its image {item.image}, "
                f"{image.height}x{image.width}; it is {segment_ids.shape[0]}x"
                f"{segment_ids.shape[1]}.",
                "panoptic PNG of another size than its image",
            )
        panoptic, dropped = make_panoptic_map(
            segment_ids,
            segments,
            ignore_label=info.ignore_label,
            label_divisor=info.label_divisor,
            crowd_as_void=False,
            source=item.panoptic_png,
        )
        for segment in segments:
            if segment.class_id != info.ignore_label:  # else it is among the dropped
                kind = "crowd" if segment.is_crowd else "segments"
                statistics[f"{kind}/{info.name_of(segment.class_id)}"] += 1
        statistics.update({f"dropped/{reason}": count for reason, count in dropped.items()})
    serialized = schema.encode_record(
        image.content,
        file_name=item.name,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        panoptic=panoptic,
    )
    return shards.EncodedRecord(serialized, dict(statistics))


def files_of(item: PanopticItem) -> Tuple[str, ...]:
    """Paths that the record of an item is made from, the image first."""
    return (item.image,) if item.panoptic_png is None else (item.image, item.panoptic_png)


def write_split(
    pairs: Pairs,
    info: DatasetInfo,
    classes: ClassTable,
    *,
    output_dir: str,
    split: str,
    num_shards: int,
    strict: bool,
    official_images: Optional[int] = None,
) -> Dict[str, Any]:
    """Writes the records of one split and, once, the description of the classes.

    Args:
      pairs: images with their annotations, and those without.
      info: classes of the records.
      classes: what the categories of the annotations mean.
      output_dir: gets the records, `dataset_info.json` and `report/`.
      split: first part of the names of the records.
      num_shards: capped at the number of images.
      strict: whether the first unusable image is an error instead of being left out.
      official_images: of the published split; another number is a warning. None = not published.

    Returns:
      The report (see `shards.write_shards`).
    """
    found = len(pairs.items) + len(pairs.skipped)
    warnings = list(pairs.warnings)
    if official_images not in (None, found):
        warnings.append(
            f"The official {split} split has {official_images} images; there are {found}."
        )
    report = shards.write_shards(
        pairs.items,
        functools.partial(encode_item, info=info, classes=classes),
        output_dir=output_dir,
        split=split,
        num_shards=num_shards,
        identity=f"{dataset_info.format_dataset_info(info)}|{sorted(classes.items())}",
        files_of=files_of,
        skipped=pairs.skipped,
        warnings=warnings,
        strict=strict,
    )
    dataset_info.save_dataset_info(info, str(pathlib.Path(output_dir, INFO_FILE)))
    return report


def _segments(item: PanopticItem, classes: ClassTable) -> List[Segment]:
    """The segments of an item with the class ids of the record."""
    segments = []
    for segment in item.segments:
        if segment.category_id not in classes:
            known = sorted(classes)
            raise SourceError(
                f"Annotation {item.panoptic_png}: segment {segment.id} has category "
                f"{segment.category_id}, which is not among the {len(known)} known ones, "
                f"{known[0]}..{known[-1]}.",
                "unknown category",
            )
        class_id, is_thing = classes[segment.category_id]
        segments.append(Segment(segment.id, class_id, is_thing, segment.is_crowd, segment.area))
    return segments

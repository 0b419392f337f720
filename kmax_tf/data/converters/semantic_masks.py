"""Converts a folder of images with one-channel class masks: a data set for semantic segmentation.

The masks are PNGs whose pixel values are ids of classes; the classes come from a JSON. Every class
is stuff, since a class mask does not tell instances apart: the panoptic map has instance 0
everywhere. What the JSON calls a thing is converted all the same, with a warning in the report.
"""

from __future__ import annotations

import collections
import functools
import pathlib
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.data import dataset_info, image_files, schema
from kmax_tf.data.converters import class_list, class_masks, coco, shards, source_files
from kmax_tf.data.converters.class_list import ClassList
from kmax_tf.data.converters.source_error import SourceError

_LISTED = 16  # files in a warning; pixel values of no class in one mask


class MaskItem(NamedTuple):
    """One image to convert: its file, that of its mask, and the name of its record."""

    image: str
    mask: str
    name: str


class Pairs(NamedTuple):
    """Images with masks, and the files without a partner."""

    items: List[MaskItem]
    images_without_mask: List[pathlib.Path]
    masks_without_image: List[pathlib.Path]


def convert_semantic_masks(
    *,
    images_dir: str,
    masks_dir: str,
    classes: str,
    output_dir: str,
    split: str = "train",
    num_shards: Optional[int] = None,
    strict: bool = False,
) -> Dict[str, Any]:
    """Converts one split.

    Args:
      images_dir: images of any format, in sub-folders too.
      masks_dir: their masks, PNGs of the same names (see `find_pairs`).
      classes: the JSON of the classes (see `class_list.read_class_list`).
      output_dir: gets the records, `dataset_info.json` and `report/`.
      split: first part of the names of the records.
      num_shards: None = one per hundred images.
      strict: whether the first unusable image is an error instead of being left out.

    Returns:
      The report (see `shards.write_shards`). Its `segments` count, per class, the images that show
      it; pixel values without a class are void and counted, by value, as images too. Images
      without mask are among the skipped, masks without image in a warning.

    Raises:
      ValueError: classes or folders that are missing or broken, or no usable image.
    """
    name = pathlib.Path(output_dir).absolute().name
    read = class_list.read_class_list(pathlib.Path(classes), name=name)
    read = read._replace(info=coco.agree_with_written(read.info, output_dir))
    pairs = find_pairs(pathlib.Path(images_dir), pathlib.Path(masks_dir))
    description = dataset_info.format_dataset_info(read.info)
    report = shards.write_shards(
        pairs.items,
        functools.partial(encode_item, classes=read),
        output_dir=output_dir,
        split=split,
        num_shards=num_shards or -(-len(pairs.items) // coco.IMAGES_PER_SHARD),
        identity=f"{description}|{read.ignored_ids}",
        files_of=files_of,
        skipped=[_without_mask(path, masks_dir) for path in pairs.images_without_mask],
        warnings=_warnings(pairs, read),
        strict=strict,
    )
    dataset_info.save_dataset_info(read.info, str(pathlib.Path(output_dir, coco.INFO_FILE)))
    return report


def find_pairs(images_dir: pathlib.Path, masks_dir: pathlib.Path) -> Pairs:
    """Pairs images and masks by their names without extension.

    Files in the same sub-folder of both folders belong together; where the sub-folders differ,
    those whose name occurs once. Records are named by the file, or, if images of several
    sub-folders have the same name, by sub-folder and file joined with `_`.

    Raises:
      ValueError: a folder without such files, two files of one name, or no pair at all.
    """
    images = _by_path(_files(images_dir, image_files.SUFFIXES, "images_dir"), images_dir)
    masks = _by_path(_files(masks_dir, (".png",), "masks_dir"), masks_dir)
    found = {key: key for key in images if key in masks}
    rest_of_images = _by_unique_name(key for key in images if key not in found)
    rest_of_masks = _by_unique_name(key for key in masks if key not in found)
    for name, key in rest_of_images.items():
        if name in rest_of_masks:
            found[key] = rest_of_masks[name]
    if not found:
        raise ValueError(
            f"`masks_dir` {masks_dir} must hold a PNG of the same name for each image of "
            f"{images_dir}; none of its {len(masks)} PNGs has the name of one of the "
            f"{len(images)} images."
        )
    names = _record_names(sorted(found), images)
    used = set(found.values())
    return Pairs(
        [MaskItem(str(images[key]), str(masks[found[key]]), names[key]) for key in sorted(found)],
        [path for key, path in sorted(images.items()) if key not in found],
        [path for key, path in sorted(masks.items()) if key not in used],
    )


def encode_item(item: MaskItem, *, classes: ClassList) -> shards.EncodedRecord:
    """Reads the files of one image and serialises them.

    Raises:
      SourceError: the image or its mask cannot be used.
    """
    image = source_files.read_image(pathlib.Path(item.image))
    mask = class_masks.read_class_mask(pathlib.Path(item.mask))
    if mask.shape != (image.height, image.width):
        raise SourceError(
            f"Mask {item.mask} must have the size of its image {item.image}, "
            f"{image.height}x{image.width}; it is {mask.shape[0]}x{mask.shape[1]}.",
            "mask of another size than its image",
        )
    info = classes.info
    table = np.full(class_list.LARGEST_ID + 1, info.ignore_label, np.int32)
    table[list(info.original_ids)] = info.class_ids
    values = np.unique(mask)
    statistics: collections.Counter = collections.Counter()
    strange = []
    for value in values.tolist():
        if value in info.original_ids:
            statistics[f"segments/{info.name_of(table[value])}"] += 1
        elif value not in classes.ignored_ids:
            strange.append(value)
    if len(strange) > _LISTED:
        statistics[f"dropped/more than {_LISTED} pixel values of no class"] += 1
    else:
        statistics.update(f"dropped/pixel value {value} of no class" for value in strange)
    serialized = schema.encode_record(
        image.content,
        file_name=item.name,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        panoptic=labels.panoptic_id(table[mask], 0, info.label_divisor),
    )
    return shards.EncodedRecord(serialized, dict(statistics))


def files_of(item: MaskItem) -> Tuple[str, str]:
    """Paths that the record of an item is made from, the image first."""
    return item.image, item.mask


def _without_mask(image: pathlib.Path, masks_dir: str) -> shards.Skipped:
    """The line of the report for an image without mask."""
    detail = f"Image {image} has no PNG of its name in {masks_dir}."
    return shards.Skipped(str(image), "image without mask", detail)


def _warnings(pairs: Pairs, classes: ClassList) -> List[str]:
    """What else the report has to say."""
    warnings = []
    if pairs.masks_without_image:
        names = [str(path) for path in pairs.masks_without_image]
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        listed = ", ".join(names[:_LISTED])
        warnings.append(f"{len(names)} masks have no image of their name: {listed}{more}.")
    if classes.things:
        warnings.append(
            "Things became stuff, since masks of classes hold no instances: "
            f"{', '.join(classes.things)}."
        )
    return warnings


def _files(folder: pathlib.Path, suffixes: Sequence[str], argument: str) -> List[pathlib.Path]:
    """Files of a folder and its sub-folders; hidden ones are left out."""
    if not folder.is_dir():
        raise ValueError(f"`{argument}` {folder.absolute()} must be a folder; there is none.")
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise ValueError(
            f"`{argument}` {folder.absolute()} must hold {', '.join(suffixes)} files; found none."
        )
    return found


def _by_path(files: Iterable[pathlib.Path], folder: pathlib.Path) -> Dict[str, pathlib.Path]:
    """Files by their path in the folder, without extension."""
    found: Dict[str, pathlib.Path] = {}
    for path in files:
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            raise ValueError(
                f"{found[key]} and {path.name} must differ in their names without extension, by "
                "which images and masks are paired; rename or move one of them."
            )
        found[key] = path
    return found


def _by_unique_name(keys: Iterable[str]) -> Dict[str, str]:
    """Keys by their last part, where no other key has the same."""
    keys = list(keys)
    counts = collections.Counter(key.rpartition("/")[2] for key in keys)
    names = ((key.rpartition("/")[2], key) for key in keys)
    return {name: key for name, key in names if counts[name] == 1}


def _record_names(keys: Sequence[str], images: Dict[str, pathlib.Path]) -> Dict[str, str]:
    """Name of the record of each image."""
    names = {key: key.rpartition("/")[2] for key in keys}
    if len(set(names.values())) < len(names):
        names = {key: key.replace("/", "_") for key in keys}
    first: Dict[str, str] = {}
    for key, name in names.items():
        if name in first:
            raise ValueError(
                f"Images {images[first[name]]} and {images[key]} would both be named {name!r} in "
                "the records; rename one of them."
            )
        first[name] = key
    return names

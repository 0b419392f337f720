"""Reads a JSON in COCO panoptic format; what is missing or of the wrong type is one sentence."""

from __future__ import annotations

import pathlib
import reprlib
from typing import Any, Dict, List

from kmax_tf.json_files import MAX_ANNOTATION_BYTES, read_json

# Of every entry: keys and the types of their values. Ids of images are numbers or text
# (Cityscapes), those of categories and segments are numbers.
_KEYS = {
    "images": {"id": (int, str), "file_name": (str,)},
    "annotations": {"image_id": (int, str), "file_name": (str,), "segments_info": (list,)},
    "categories": {"id": (int,)},
}
_SEGMENT_KEYS = {"id": (int,), "category_id": (int,)}
_TYPE_NAMES = {int: "an integer", str: "text", list: "a list"}


def read_coco_json(path: pathlib.Path) -> Dict[str, Any]:
    """Reads a COCO panoptic JSON and checks everything the converter reads from it.

    Args:
      path: the file.

    Returns:
      The content, with `images`, `annotations` and `categories`.

    Raises:
      ValueError: no such file, no JSON, or an entry without one of the keys it must have.
    """
    content = load_json(path)
    missing = [key for key in _KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(
            f"Annotation file {path} must be in COCO panoptic format, with `images`, "
            f"`annotations` and `categories`; it lacks {missing}."
        )
    for part, keys in _KEYS.items():
        check_entries(content[part], keys, path, f"`{part}`")
    for annotation in content["annotations"]:
        place = f"`segments_info` of {annotation['file_name']}"
        check_entries(annotation["segments_info"], _SEGMENT_KEYS, path, place)
    return content


def load_json(path: pathlib.Path, *, kind: str = "Annotation file") -> Any:
    """Parses a JSON file, which messages call a `kind`.

    Raises:
      ValueError: no such file, one of more than `MAX_ANNOTATION_BYTES`, or no JSON.
    """
    if not path.is_file():
        raise ValueError(f"{kind} {path.absolute()} does not exist.")
    try:
        return read_json(path, MAX_ANNOTATION_BYTES)
    except ValueError as error:
        raise ValueError(f"{kind} {path} cannot be read: {error}.") from error


def check_entries(
    entries: List[Dict[str, Any]], keys: Dict[str, tuple], path: pathlib.Path, place: str
) -> None:
    """Raises ValueError at the first entry that lacks a key or has one of another type."""
    if not isinstance(entries, list):
        raise ValueError(
            f"Annotation file {path}: {place} must be a list; it is a {type(entries).__name__}."
        )
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(
                f"Annotation file {path}: entry {index} of {place} must be an object; it is a "
                f"{type(entry).__name__}."
            )
        for key, types in keys.items():
            if isinstance(entry.get(key), types):
                continue
            wanted = " or ".join(_TYPE_NAMES[kind] for kind in types)
            received = f"has {reprlib.repr(entry[key])}" if key in entry else "lacks it"
            raise ValueError(
                f"Annotation file {path}: entry {index} of {place} must have `{key}`, {wanted}; "
                f"it {received}{_hint(entry)}."
            )


def _hint(entry: Dict[str, Any]) -> str:
    """What an entry without segments usually means."""
    if "segmentation" in entry and "segments_info" not in entry:
        return " (this looks like an instances JSON: the panoptic JSON of the split is needed)"
    return ""

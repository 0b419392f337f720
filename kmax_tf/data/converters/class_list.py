"""Reads a JSON of classes: what the pixel values of class masks mean."""

from __future__ import annotations

import pathlib
from typing import Any, Dict, List, NamedTuple, Tuple

from kmax_tf.data import dataset_info
from kmax_tf.data.converters import coco_json
from kmax_tf.palette import distinct_colors
from kmax_tf.structures import DatasetInfo

LARGEST_ID = 65535  # of a 16-bit mask
_LABEL_DIVISOR = 256  # of no importance without instances, but it must be something


class ClassList(NamedTuple):
    """Classes of a data set of class masks.

    Attributes:
      info: the classes, all of them stuff; `original_ids` are the pixel values.
      ignored_ids: pixel values that are declared to be void; so is every other one without a
        class, but those are worth a line in the report.
      things: names of the classes that the JSON calls things.
    """

    info: DatasetInfo
    ignored_ids: Tuple[int, ...]
    things: Tuple[str, ...]


def read_class_list(path: pathlib.Path, *, name: str) -> ClassList:
    """Reads the classes in one of two formats.

    `{"categories": [{"id", "name", "color", "isthing"}, ...], "ignore": 255}` as in COCO, or
    `{"classes": [...]}` like a `dataset_info.json`, where a class has `is_thing` and, if it has an
    `original_id`, that is the pixel value. Only the id is required. Class ids are 1..n in the order
    of the pixel values and void is 0; only a complete `dataset_info.json` whose ids have no gaps
    keeps its own, so that the records fit the models trained with it.

    Args:
      path: the JSON file.
      name: of the data set, where the JSON has none.

    Raises:
      ValueError: no such file, no classes, or ids that are not distinct numbers in 0..65535.
    """
    content = coco_json.load_json(path, kind="Class file")
    if isinstance(content, list):
        content = {"categories": content}
    key = "classes" if isinstance(content, dict) and "classes" in content else "categories"
    if not isinstance(content, dict) or not content.get(key):
        raise ValueError(
            f"Class file {path} must hold a list of `categories` (each with id, name, color) or "
            "be a dataset_info.json; it has neither `categories` nor `classes`."
        )
    coco_json.check_entries(content[key], {"id": (int,)}, path, f"`{key}`")
    entries = sorted(
        (_class_entry(entry, path) for entry in content[key]), key=lambda e: e["original_id"]
    )
    pixel_values = [entry["original_id"] for entry in entries]
    _check_ids(pixel_values, f"ids of `{key}`", path)
    if len(set(pixel_values)) < len(pixel_values):
        twice = sorted({value for value in pixel_values if pixel_values.count(value) > 1})
        raise ValueError(f"Class file {path}: ids must be distinct; {twice} are there twice.")
    ignored = _ignored_ids(content, pixel_values, path)
    things = tuple(entry["name"] for entry in entries if entry["is_thing"])
    head = _own_head(content, entries)
    palette = distinct_colors(len(entries))
    classes = [
        {
            **entry,
            "id": entry["id"] if head else index + 1,
            "color": entry["color"] or palette[index],
            "is_thing": False,
        }
        for index, entry in enumerate(entries)
    ]
    head = head or {
        "name": content.get("name", name),
        "num_classes": len(classes) + 1,
        "ignore_label": 0,
        "label_divisor": _LABEL_DIVISOR,
    }
    info = dataset_info.parse_dataset_info({**head, "classes": classes}, source=str(path))
    return ClassList(info, ignored, things)


def _class_entry(entry: Dict[str, Any], path: pathlib.Path) -> Dict[str, Any]:
    """One class in the form of a `dataset_info.json`; colour and class id may be None."""
    original = entry.get("original_id", entry["id"])
    if not isinstance(original, int):
        raise ValueError(
            f"Class file {path}: `original_id` must be an integer; received {original!r}."
        )
    color = entry.get("color")
    if color is not None and not _is_color(color):
        raise ValueError(
            f"Class file {path}: `color` of class {original} must be three integers in 0..255; "
            f"received {color!r}."
        )
    return {
        "id": entry["id"],
        "original_id": original,
        "name": str(entry.get("name", original)),
        "is_thing": bool(entry.get("is_thing", entry.get("isthing", 0))),
        "color": color,
    }


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(channel, int) and 0 <= channel <= 255 for channel in value)
    )


def _ignored_ids(
    content: Dict[str, Any], pixel_values: List[int], path: pathlib.Path
) -> Tuple[int, ...]:
    """Pixel values that the JSON declares to be void."""
    ignore = content.get("ignore", [])
    ignored = ignore if isinstance(ignore, list) else [ignore]
    _check_ids(ignored, "`ignore`", path)
    both = sorted(set(ignored) & set(pixel_values))
    if both:
        raise ValueError(f"Class file {path}: `ignore` must not be the id of a class; {both} are.")
    # A dataset_info.json has `ignore_label`, which may be the pixel value of a class (ADE20K).
    label = content.get("ignore_label")
    if isinstance(label, int) and label not in pixel_values:
        ignored = [*ignored, label]
    return tuple(sorted(set(ignored)))


def _check_ids(values: List[Any], what: str, path: pathlib.Path) -> None:
    """Raises ValueError at a value that no pixel can have."""
    for value in values:
        if not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
            raise ValueError(
                f"Class file {path}: {what} must be pixel values, integers in 0..{LARGEST_ID}; "
                f"received {value!r}."
            )


def _own_head(content: Dict[str, Any], entries: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Head of a complete description without gaps; empty for anything else."""
    keys = ("name", "num_classes", "ignore_label", "label_divisor")
    ids = sorted(entry["id"] for entry in entries)
    complete = all(key in content for key in keys) and "classes" in content
    if not complete or ids != list(range(ids[0], ids[0] + len(ids))) or ids[0] > 1:
        return {}
    return {key: content[key] for key in keys}

"""Reads and writes what has to be known about a data set: classes, colours, void, label divisor.

The format is one JSON object with the fields of `structures.DatasetInfo`, the classes as a list;
the files in `categories/`, the `dataset_info.json` beside converted records and the `labels.json`
of a run are all of it. `void_ids` may be absent, and so may the colours of classes: these get
colours that can be told apart with any colour vision.
"""

from __future__ import annotations

import json
import operator
import os
import pathlib
import reprlib
from typing import Any, Dict, List

from kmax_tf.json_files import MAX_DESCRIPTION_BYTES, read_json
from kmax_tf.palette import Color, distinct_colors
from kmax_tf.structures import DatasetInfo

CATEGORIES = pathlib.Path(__file__).parent / "categories"

MAX_CLASSES = 2**16
"""Ids of classes lie below, which those of 16-bit masks do."""

_LARGEST_LABEL = 2**31 - 1  # maps are int32


def known_datasets() -> List[str]:
    """Names of the data sets that ship with the library."""
    return sorted(path.stem for path in CATEGORIES.glob("*.json"))


def load_dataset_info(name_or_path: str) -> DatasetInfo:
    """Reads the description of a data set.

    Args:
      name_or_path: a name from `known_datasets()`, or the path of a JSON file.

    Raises:
      ValueError: neither a known name nor a file, or the file is not a valid description.
    """
    built_in = CATEGORIES / f"{name_or_path}.json"
    is_name = name_or_path in known_datasets()
    path = built_in if is_name else pathlib.Path(name_or_path)
    if not path.is_file():
        raise ValueError(
            f"`dataset_info` must be one of {known_datasets()} or the path of a JSON file; "
            f"received {name_or_path!r}, and there is no file {path.absolute()}."
        )
    try:
        content = read_json(path, MAX_DESCRIPTION_BYTES)
    except ValueError as error:
        raise ValueError(f"`dataset_info` {path} cannot be read: {error}.") from error
    return parse_dataset_info(content, source=str(path))


def parse_dataset_info(content: Dict[str, Any], *, source: str) -> DatasetInfo:
    """Turns the JSON object into a `DatasetInfo`.

    Args:
      content: the parsed JSON.
      source: where it came from, for messages.

    Raises:
      ValueError: a field is missing or the fields contradict one another.
    """
    try:
        classes = sorted(content["classes"], key=lambda entry: entry["id"])
        palette = distinct_colors(len(classes))
        info = DatasetInfo(
            name=_text(content["name"]),
            num_classes=operator.index(content["num_classes"]),
            ignore_label=operator.index(content["ignore_label"]),
            label_divisor=operator.index(content["label_divisor"]),
            class_ids=tuple(operator.index(entry["id"]) for entry in classes),
            names=tuple(_text(entry["name"]) for entry in classes),
            colors=tuple(
                _color(entry.get("color") or default, source)
                for entry, default in zip(classes, palette)
            ),
            is_thing=tuple(bool(entry["is_thing"]) for entry in classes),
            original_ids=tuple(operator.index(entry["original_id"]) for entry in classes),
            void_ids=tuple(map(operator.index, content.get("void_ids", ()))),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"`dataset_info` {source} lacks a field or has one of the wrong type: {error!r}; every "
            "class needs id, name, is_thing and original_id, and the object needs name, "
            "num_classes, ignore_label and label_divisor."
        ) from error
    _check(info, source)
    return info


def save_dataset_info(info: DatasetInfo, path: str) -> None:
    """Writes `info` as JSON, one class per line; the file appears at once or not at all."""
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(format_dataset_info(info), encoding="utf-8")
    os.replace(temporary, target)


def format_dataset_info(info: DatasetInfo) -> str:
    """The JSON text of `info`."""
    head: Dict[str, Any] = {
        "name": info.name,
        "num_classes": info.num_classes,
        "ignore_label": info.ignore_label,
        "label_divisor": info.label_divisor,
    }
    if info.void_ids:
        head["void_ids"] = info.void_ids
    rows = zip(info.class_ids, info.original_ids, info.names, info.is_thing, info.colors)
    lines = [
        json.dumps(
            {"id": i, "original_id": original, "name": name, "is_thing": thing, "color": color}
        )
        for i, original, name, thing, color in rows
    ]
    fields = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    classes = ",\n".join(f"    {line}" for line in lines)
    return "{\n" + ",\n".join(fields) + f',\n  "classes": [\n{classes}\n  ]\n}}\n'


def _color(value: Any, source: str) -> Color:
    try:
        red, green, blue = map(operator.index, value)
    except (TypeError, ValueError):
        raise ValueError(
            f"`dataset_info` {source}: `color` must be three whole numbers in 0..255; received "
            f"{reprlib.repr(value)}."
        ) from None
    return red, green, blue


def _text(value: Any) -> str:
    """Names may be numbers too; anything else is no name."""
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"`name` is {reprlib.repr(value)}")
    return str(value)


def _largest_number(info: DatasetInfo) -> int:
    """Of all that become part of maps and files."""
    classes = (info.num_classes, abs(info.ignore_label), *info.void_ids)
    return max(max(classes) * info.label_divisor, *map(abs, info.original_ids))


def _check(info: DatasetInfo, source: str) -> None:
    """Raises ValueError where the fields of `info` contradict one another."""
    problem = ""
    if not info.class_ids:
        problem = "`classes` must hold at least one class; received none"
    elif len(set(info.class_ids)) < len(info.class_ids):
        problem = f"class ids must be distinct; received {reprlib.repr(list(info.class_ids))}"
    elif info.ignore_label in info.class_ids:
        problem = f"`ignore_label` must not be the id of a class; received {info.ignore_label}"
    elif min(info.class_ids) < 0 or max(info.class_ids) >= info.num_classes:
        problem = (
            f"class ids must be in 0..num_classes-1 = {info.num_classes - 1}; received "
            f"{min(info.class_ids)}..{max(info.class_ids)}"
        )
    elif info.void_ids and (min(info.void_ids) < 0 or {*info.void_ids} & {*info.class_ids}):
        problem = (
            "`void_ids` must be at least 0 and none of the class ids; received "
            f"{reprlib.repr(list(info.void_ids))}"
        )
    elif not 1 <= info.num_classes <= MAX_CLASSES:
        problem = f"`num_classes` must be in 1..{MAX_CLASSES}; received {info.num_classes}"
    elif info.label_divisor < 2:
        problem = f"`label_divisor` must be at least 2; received {info.label_divisor}"
    elif _largest_number(info) > _LARGEST_LABEL:
        problem = (
            f"classes, `ignore_label`, `void_ids` and `original_id` must fit into 32 bits, the "
            f"former three times `label_divisor` ({info.label_divisor}); the largest number is "
            f"{_largest_number(info)}"
        )
    elif any(not 0 <= channel <= 255 for color in info.colors for channel in color):
        problem = "every `color` must be three numbers in 0..255"
    if problem:
        raise ValueError(f"`dataset_info` {source}: {problem}.")

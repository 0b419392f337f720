"""Finds records that cannot be used, and says which and why.

The input pipeline stops at a bad record with TensorFlow's message, which seldom names it. These
functions look at the records themselves, outside the graph.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow as tf
from google.protobuf import message

from kmax_tf import labels
from kmax_tf.data import image_decoding, records, schema
from kmax_tf.image_limits import READ_ERRORS, open_image
from kmax_tf.structures import DatasetInfo

_INTERNALS = re.compile(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\].*|\.$", re.DOTALL)


class BadRecord(NamedTuple):
    """A record that cannot be used.

    Attributes:
      image_id: as in `Targets`; None = the file cannot be read from this record on.
      file: its record file.
      record: index in the file.
      image_name: file name of its image, empty where it cannot be read.
      problem: what is wrong, a clause that begins with a verb.
    """

    image_id: Optional[int]
    file: str
    record: int
    image_name: str
    problem: str

    def __str__(self) -> str:
        image = f" (image {self.image_name!r})" if self.image_name else ""
        return f"Record {self.record} of {self.file}{image} {self.problem}"


def find_bad_records(
    source: records.RecordFiles,
    image_ids: Iterable[int],
    info: DatasetInfo,
    *,
    decode_label: bool,
) -> Iterator[BadRecord]:
    """Looks at records one after the other and gives those that cannot be used.

    Args:
      source: the files.
      image_ids: the records to look at.
      info: the classes that labels may have.
      decode_label: whether records must have labels.
    """
    for image_id in image_ids:
        name = ""
        try:
            serialized = records.read_record(source, image_id)
            name, problem = describe_problem(serialized, info, decode_label=decode_label)
        except tf.errors.DataLossError as error:
            problem = f"fails its checksum: {_plain(error)}"
        if problem:
            yield BadRecord(image_id, *source.locate(image_id), name, problem)


def find_damaged_files(source: records.RecordFiles) -> List[BadRecord]:
    """One entry for each file that cannot be read to its end."""
    return [
        BadRecord(
            None, file, record, "", f"cannot be read, {problem}; the rest of the file is left out"
        )
        for file, record, problem in source.damages()
    ]


def describe_problem(
    serialized: bytes, info: DatasetInfo, *, decode_label: bool
) -> Tuple[str, Optional[str]]:
    """File name of the record's image, and what is wrong with it (None if nothing)."""
    try:
        features: Dict[str, tf.train.Feature] = dict(
            tf.train.Example.FromString(serialized).features.feature
        )
    except message.DecodeError as error:
        return "", f"is not a serialised example: {error}"
    name = _bytes(features, schema.FILE_NAME).decode("utf-8", errors="replace")
    needed = [schema.IMAGE, schema.HEIGHT, schema.WIDTH] + [schema.LABEL] * decode_label
    missing = [key for key in needed if key not in features]
    if missing:
        return name, f"lacks the keys {missing}"
    try:
        schema.parse_record(tf.constant(serialized), decode_label=decode_label)
    except UnicodeDecodeError:  # about the message, which holds the record
        return name, "cannot be parsed: TensorFlow reads examples in their usual form only"
    except schema.PARSE_ERRORS as error:
        return name, f"cannot be parsed: {_plain(error)}"
    try:
        content = _bytes(features, schema.IMAGE)
        with open_image(content, formats=("JPEG", "PNG")):  # finds what must not be decoded
            pass
        image = image_decoding.decode_image(tf.constant(content), place=["it"])
    except READ_ERRORS as error:
        return name, f"has no image that can be decoded: {error}"
    except tf.errors.InvalidArgumentError as error:
        return name, f"has no image that can be decoded: {_plain(error)}"
    size = tuple(image.shape[:2])
    stated = (_integer(features, schema.HEIGHT), _integer(features, schema.WIDTH))
    if size != stated:
        return name, f"has an image of {size[0]}x{size[1]}, but states {stated[0]}x{stated[1]}"
    if not decode_label:
        return name, None
    return name, _describe_label_problem(_bytes(features, schema.LABEL), size, info)


def _describe_label_problem(
    content: bytes, size: Tuple[int, int], info: DatasetInfo
) -> Optional[str]:
    """What is wrong with a raw label map for an image of `size`."""
    if len(content) != 4 * size[0] * size[1]:
        return (
            f"has {len(content)} bytes of labels, but its image of {size[0]}x{size[1]} needs "
            f"{4 * size[0] * size[1]} (raw int32)"
        )
    classes = labels.class_of(np.frombuffer(content, "<i4"), info.label_divisor)
    unknown = set(np.unique(classes).tolist()) - {
        *info.class_ids,
        info.ignore_label,
        *info.void_ids,
    }
    if unknown:
        return (
            f"has labels of the classes {sorted(unknown)[:8]}, which {info.name!r} (label divisor "
            f"{info.label_divisor}) does not know"
        )
    return None


def _bytes(features: Dict[str, tf.train.Feature], key: str) -> bytes:
    values = features[key].bytes_list.value if key in features else ()
    return values[0] if values else b""


def _integer(features: Dict[str, tf.train.Feature], key: str) -> int:
    values = features[key].int64_list.value
    return values[0] if values else -1


def _plain(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of its nodes and operations."""
    return _INTERNALS.sub("", error.message)

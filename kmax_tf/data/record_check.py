"""Finds records that cannot be used, and says which and why.

The input pipeline stops at a bad record with TensorFlow's message, which seldom names it. These
functions look at the records themselves, outside the graph.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from google.protobuf import message

from kmax_tf import labels
from kmax_tf.data import records, schema
from kmax_tf.image_limits import READ_ERRORS, open_image
from kmax_tf.structures import DatasetInfo

_INTERNALS = re.compile(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\].*|\.$", re.DOTALL)


def check_records(
    patterns: Sequence[str],
    info: DatasetInfo,
    *,
    decode_label: bool,
    limit: Optional[int] = None,
) -> int:
    """Checks records and returns how many were looked at.

    Args:
      patterns: globs of record files.
      info: the classes that labels may have.
      decode_label: whether records must have labels.
      limit: about how many to look at, the first of each file; None = all.

    Raises:
      ValueError: names file, record and image of the first bad record.
    """
    source = records.find_records(patterns)
    per_file = None if limit is None else -(-limit // len(source.files))
    checked = 0
    for file, offset in zip(source.files, source.offsets.tolist()):
        dataset = tf.data.TFRecordDataset(file).enumerate(offset)
        if per_file is not None:
            dataset = dataset.take(per_file)
        try:
            for image_id, serialized in dataset.as_numpy_iterator():
                raise_if_bad(source, image_id, serialized, info, decode_label=decode_label)
                checked += 1
        except tf.errors.DataLossError as error:
            raise ValueError(
                f"Record file {file} is damaged at or after record {checked - offset}: "
                f"{_plain(error)}."
            ) from error
    return checked


def find_bad_record(
    source: records.RecordFiles,
    stream: Iterable[Any],
    info: DatasetInfo,
    *,
    decode_label: bool,
) -> None:
    """Checks the records of a stream; raises ValueError at the first bad one.

    Args:
      source: the files, to name the record.
      stream: pairs of image id (integer) and serialised example (bytes).
      info: the classes.
      decode_label: whether records must have labels.
    """
    for image_id, serialized in stream:
        raise_if_bad(source, int(image_id), serialized, info, decode_label=decode_label)


def raise_if_bad(
    source: records.RecordFiles,
    image_id: int,
    serialized: bytes,
    info: DatasetInfo,
    *,
    decode_label: bool,
) -> None:
    """Raises ValueError naming file, record and image unless the record is usable."""
    name, problem = describe_problem(serialized, info, decode_label=decode_label)
    if problem:
        file, index = source.locate(int(image_id))
        raise ValueError(f"Record {index} of {file} (image {name!r}) {problem}.")


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
        content = _bytes(features, schema.IMAGE)
        with open_image(content, formats=("JPEG", "PNG")):  # finds what must not be decoded
            pass
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
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

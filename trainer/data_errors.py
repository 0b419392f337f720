"""What the input pipeline reports while a graph runs, as one sentence for the user."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator, Optional, Sequence, Tuple

import tensorflow as tf

from kmax_tf.data import records, schema

_PART = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]")
_MARK = "Bad record"
_UNDECODABLE = re.compile(r"image file format|Invalid (JPEG|PNG)|Decode(Image|Jpeg|Png|Bmp|Gif)")


@contextlib.contextmanager
def explaining_bad_records(patterns: Sequence[str]) -> Iterator[None]:
    """Turns TensorFlow's error about a record into a ValueError that names the record.

    Args:
      patterns: globs of the record files that are read inside.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        sentence = explain(str(error)) or _find_broken_image(str(error), patterns)
        if sentence is None:
            raise
        raise ValueError(sentence) from None


def explain(message: str) -> Optional[str]:
    """The sentence for a message of TensorFlow, or None when it is not about a record.

    Args:
      message: of an error raised while a batch was made.
    """
    if _MARK in message:
        start = message.index(_MARK)
        line = message[start - 1 :].split("\n")[0]
        parts = [part.strip() for part in _PART.findall(line)]
        return f"{' '.join(parts) or line.strip()}."
    if "corrupted record" in message or "truncated record" in message:
        return f"A record file is damaged: {message.splitlines()[0].strip()}."
    return None


def _find_broken_image(message: str, patterns: Sequence[str]) -> Optional[str]:
    """Names the first record whose image cannot be decoded, which TensorFlow does not tell."""
    if not _UNDECODABLE.search(message):
        return None
    source = records.find_records(patterns)

    def decode(index: tf.Tensor, serialized: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        image = schema.decode_image(schema.parse_record(serialized, decode_label=False))
        return index, tf.size(image)

    decoded = records.ordered_records(source).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    good = 0
    for index, _ in decoded.ignore_errors():
        if int(index) != good:
            break
        good += 1
    if good == source.total:
        return None
    return f"Bad record: no JPEG or PNG image that can be decoded: {_name(source, good)}."


def name_images(image_ids: Sequence[int], patterns: Sequence[str]) -> str:
    """`id = name (file, record)` of images, to look at what stopped a run.

    Args:
      image_ids: as in `Targets`.
      patterns: globs of the record files.
    """
    source = records.find_records(patterns)
    return "; ".join(f"{i} = {_name(source, i)}" for i in image_ids)


def _name(source: records.RecordFiles, image_id: int) -> str:
    path, index = source.locate(image_id)
    serialized = next(iter(tf.data.TFRecordDataset(path).skip(index)))
    name = schema.parse_record(serialized, decode_label=False).file_name.numpy()
    return f"{name.decode(errors='replace')} ({path}, record {index})"

"""What the input pipeline reports while a graph runs, as one sentence for the user."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator, Optional, Sequence

import tensorflow as tf

from kmax_tf.data import records, schema

_PART = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]")
_MARK = "Bad record"


@contextlib.contextmanager
def explaining_bad_records() -> Iterator[None]:
    """Turns TensorFlow's error about a record into a ValueError that names the record."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        sentence = explain(str(error))
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


def name_images(image_ids: Sequence[int], patterns: Sequence[str]) -> str:
    """`id = name (file, record)` of images, to look at what stopped a run.

    Args:
      image_ids: as in `Targets`.
      patterns: globs of the record files.
    """
    source = records.find_records(patterns)
    named = []
    for image_id in image_ids:
        path, index = source.locate(image_id)
        for serialized in tf.data.TFRecordDataset(path).skip(index).take(1):
            name = schema.parse_record(serialized, decode_label=False).file_name.numpy()
            named.append(f"{image_id} = {name.decode(errors='replace')} ({path}, record {index})")
    return "; ".join(named)

"""Small record files for the tests of the input pipeline."""

from __future__ import annotations

import io
import pathlib
from typing import Optional

import numpy as np
import tensorflow as tf
from PIL import Image

from kmax_tf.data import schema


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def shapes_label(height: int, width: int, number: int) -> np.ndarray:
    """Sky over grass, a circle instance and a square instance; differs from number to number."""
    label = np.full((height, width), 7 * 256, np.int32)
    label[height // 2 :] = 8 * 256
    label[2:8, 2 + number % 5 : 9] = 256 + 1
    label[10:14, 3:9] = 2 * 256 + 1
    label[0, 0] = 0
    return label


def record(
    number: int, *, size=(20, 24), label: Optional[np.ndarray] = None, image: bytes = b""
) -> bytes:
    """A record whose image is filled with `number`."""
    height, width = size
    return schema.encode_record(
        image or png(np.full((height, width, 3), number, np.uint8)),
        file_name=f"image_{number}",
        image_format="png",
        height=height,
        width=width,
        panoptic=shapes_label(height, width, number) if label is None else label,
    )


def write_files(folder: pathlib.Path, counts, *, prefix: str = "train") -> str:
    """Writes files with the given numbers of records, numbered throughout; returns a pattern."""
    number = 0
    for index, count in enumerate(counts):
        with tf.io.TFRecordWriter(str(folder / f"{prefix}-{index:05d}")) as writer:
            for _ in range(count):
                writer.write(record(number))
                number += 1
    return str(folder / f"{prefix}-*")

"""The TFRecord format of an image and its panoptic labels: written and parsed side by side.

Keys and meaning are those of deeplab2, in both directions.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from kmax_tf.data import image_decoding

IMAGE = "image/encoded"
FILE_NAME = "image/filename"
IMAGE_FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
LABEL = "image/segmentation/class/encoded"
LABEL_FORMAT = "image/segmentation/class/format"

IMAGE_FORMATS = ("jpeg", "png")


PARSE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    UnicodeDecodeError,
)
"""What reading a bad record raises: the last where TensorFlow's message holds bytes of the record,
which Python cannot decode."""


class Record(NamedTuple):
    """One parsed record, still encoded.

    Attributes:
      image: string scalar, the JPEG or PNG file.
      file_name: string scalar, UTF-8, without folder and extension.
      height, width: int64 scalars, the size the writer stated.
      label: string scalar, raw little-endian int32 [height, width]; empty without labels.
    """

    image: tf.Tensor
    file_name: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    label: tf.Tensor


def encode_record(
    image: bytes,
    *,
    file_name: str,
    image_format: str,
    height: int,
    width: int,
    panoptic: Optional[np.ndarray],
) -> bytes:
    """Serialises one example.

    Args:
      image: an encoded RGB image.
      file_name: without folder and extension.
      image_format: `jpeg` or `png`.
      height: of the image.
      width: of the image.
      panoptic: int32 [height, width], `class * label_divisor + instance`, or None for test data.

    Raises:
      ValueError: unknown format, or a label map of another size or type.
    """
    if image_format not in IMAGE_FORMATS:
        raise ValueError(
            f"`image_format` must be one of {list(IMAGE_FORMATS)}; received {image_format!r}."
        )
    features = {
        IMAGE: _bytes(image),
        FILE_NAME: _bytes(file_name.encode("utf-8")),
        IMAGE_FORMAT: _bytes(image_format.encode("ascii")),
        HEIGHT: _integer(height),
        WIDTH: _integer(width),
        CHANNELS: _integer(3),
    }
    if panoptic is not None:
        if panoptic.shape != (height, width) or panoptic.dtype != np.int32:
            raise ValueError(
                f"`panoptic` of {file_name!r} must be int32 of the image's size {(height, width)}; "
                f"received {panoptic.dtype} {panoptic.shape}."
            )
        features[LABEL] = _bytes(panoptic.astype("<i4", copy=False).tobytes())
        features[LABEL_FORMAT] = _bytes(b"raw")
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def parse_record(serialized: tf.Tensor, *, decode_label: bool) -> Record:
    """Splits one serialised example (string scalar) into its fields.

    Args:
      serialized: string scalar.
      decode_label: whether the label key must be there; otherwise it is not read.

    Raises:
      tf.errors.DataLossError: the bytes are no example.
      tf.errors.InvalidArgumentError: it lacks a key, or has one of another type.
    """
    serialized = _require_example(serialized)
    keys: Dict[str, tf.io.FixedLenFeature] = {
        IMAGE: tf.io.FixedLenFeature([], tf.string),
        FILE_NAME: tf.io.FixedLenFeature([], tf.string, default_value=""),
        HEIGHT: tf.io.FixedLenFeature([], tf.int64),
        WIDTH: tf.io.FixedLenFeature([], tf.int64),
    }
    if decode_label:
        keys[LABEL] = tf.io.FixedLenFeature([], tf.string)
    fields = tf.io.parse_single_example(serialized, keys)
    return Record(
        image=fields[IMAGE],
        file_name=_readable(fields[FILE_NAME]),
        height=fields[HEIGHT],
        width=fields[WIDTH],
        label=fields[LABEL] if decode_label else tf.constant(b""),
    )


def file_name_of(serialized: tf.Tensor) -> tf.Tensor:
    """File name, string scalar, in an example that `parse_record` has parsed before."""
    key = {FILE_NAME: tf.io.FixedLenFeature([], tf.string, default_value="")}
    return _readable(tf.io.parse_single_example(serialized, key)[FILE_NAME])


def _readable(name: tf.Tensor) -> tf.Tensor:
    """The name, string scalar, with replacements for what is not UTF-8.

    A message of TensorFlow that holds other bytes becomes a `UnicodeDecodeError` about the message.
    """
    return tf.strings.unicode_transcode(name, "UTF-8", "UTF-8", errors="replace")


def _require_example(serialized: tf.Tensor) -> tf.Tensor:
    """Returns its argument once it was found to be a well-formed example.

    TensorFlow's parser of examples takes the length of a value for a signed number and writes
    outside of its memory where that is 2 GB or more, which ends the process at best. Protobuf's own
    parser, which this operation calls, is safe.
    """
    sizes, _ = tf.io.decode_proto(
        serialized, "tensorflow.Example", ["features"], [tf.string], sanitize=True
    )
    one = tf.debugging.Assert(tf.equal(sizes[0], 1), ["Bad record: it has no features."])
    with tf.control_dependencies([one] if one is not None else []):
        return tf.identity(serialized)


def decode_image(record: Record) -> tf.Tensor:
    """uint8 [height, width, 3]; JPEG and PNG alike, within `image_limits`."""
    return image_decoding.decode_image(record.image, place=["Bad record", record.file_name])


def decode_label(record: Record) -> tf.Tensor:
    """int32 [height, width] of the stated size; the byte count must fit."""
    flat = tf.io.decode_raw(record.label, tf.int32, little_endian=True)
    return tf.reshape(flat, tf.stack([record.height, record.width]))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

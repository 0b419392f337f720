"""Decodes images in the graph, after a look at what their headers announce.

TensorFlow's kernels allocate whatever a header says, up to half a gigabyte, and all frames of a
GIF, however many. Only JPEG and PNG are decoded.
"""

from __future__ import annotations

from typing import Any, Sequence

import tensorflow as tf

from kmax_tf.image_limits import MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE, MAX_JPEG_SCANS

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_SCAN_START = b"\xff\xda"
_PNG_END = b"IEND"
_JPEG_END = b"\xff\xd9"
_HEADER_BYTES = 24  # of a PNG: signature, length and name of the first chunk, width, height


def decode_image(content: tf.Tensor, *, place: Sequence[Any]) -> tf.Tensor:
    """Decodes a JPEG or PNG; EXIF rotation is not applied.

    Args:
      content: string scalar, the file.
      place: what names the image at the beginning of messages; strings and tensors.

    Returns:
      uint8 [H, W, 3].

    Raises:
      tf.errors.InvalidArgumentError: neither JPEG nor PNG, damaged, or larger than the limits of
        `image_limits`; nothing is decoded then.
    """
    header = tf.strings.substr(content, 0, _HEADER_BYTES)
    is_jpeg = tf.equal(tf.strings.substr(header, 0, len(_JPEG_START)), _JPEG_START)
    is_png = tf.equal(tf.strings.substr(header, 0, len(_PNG_START)), _PNG_START)
    is_png = tf.logical_and(is_png, tf.equal(tf.strings.length(header), _HEADER_BYTES))
    known = tf.debugging.Assert(
        tf.logical_or(is_jpeg, is_png), [*place, "must be a JPEG or PNG file; it is neither."]
    )
    with tf.control_dependencies([known] if known is not None else []):
        content = tf.identity(content)
    # The decoders refuse such files too, but do not say which image it was.
    whole = tf.debugging.Assert(
        _has_end(content, is_png), [*place, "is cut off: the end of the file is missing."]
    )
    with tf.control_dependencies([whole] if whole is not None else []):
        content = tf.identity(content)
    size, scans = tf.cond(is_png, lambda: (_png_size(header), 0), lambda: _jpeg_facts(content))
    few = tf.debugging.Assert(
        tf.reduce_all(size <= MAX_IMAGE_SIDE) & (tf.reduce_prod(size) <= MAX_IMAGE_PIXELS),
        [*place, "has height and width", size, f"and may have at most {MAX_IMAGE_PIXELS} pixels "
         f"in all and {MAX_IMAGE_SIDE} a side."],
    )  # fmt: skip
    quick = tf.debugging.Assert(
        scans <= MAX_JPEG_SCANS, [*place, f"is a JPEG of more than {MAX_JPEG_SCANS} scans."]
    )
    with tf.control_dependencies([check for check in (few, quick) if check is not None]):
        content = tf.identity(content)
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def _has_end(content: tf.Tensor, is_png: tf.Tensor) -> tf.Tensor:
    """Whether what ends a PNG or JPEG is there, bool; anything may follow it.

    A JPEG may also hold a smaller one, which has an end too.
    """
    end = tf.where(is_png, _PNG_END, _JPEG_END)
    return tf.size(_split(content, end, 1)) > 1


def _png_size(header: tf.Tensor) -> tf.Tensor:
    """Height and width, int64 [2], that a PNG announces; from its first 24 bytes."""
    numbers = tf.io.decode_raw(tf.strings.substr(header, 16, 8), tf.uint8)
    numbers = tf.reshape(tf.cast(numbers, tf.int64), [2, 4])
    return tf.reverse(
        tf.linalg.matvec(numbers, tf.constant([2**24, 2**16, 2**8, 1], tf.int64)), [0]
    )


def _jpeg_facts(content: tf.Tensor) -> Sequence[tf.Tensor]:
    """Height and width, int64 [2], and the number of scans, int32."""
    size = tf.cast(tf.io.extract_jpeg_shape(content)[:2], tf.int64)
    return size, tf.size(_split(content, _SCAN_START, MAX_JPEG_SCANS + 1)) - 1


def _split(content: tf.Tensor, separator: Any, most: int) -> tf.Tensor:
    """The parts of a string scalar, at most `most` + 1."""
    return tf.raw_ops.StringSplitV2(input=content[tf.newaxis], sep=separator, maxsplit=most).values

"""Reads image files for the records: always RGB, upright, and really decodable."""

from __future__ import annotations

import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from kmax_tf.data.converters.source_error import SourceError
from kmax_tf.data.image_files import to_rgb
from kmax_tf.image_limits import READ_ERRORS, open_image, read_image_bytes

_ORIENTATION = 0x0112
_STORED_FORMATS = {"JPEG": "jpeg", "PNG": "png"}


class ImageFile(NamedTuple):
    """Encoded RGB image: its bytes, `jpeg` or `png`, height and width."""

    content: bytes
    image_format: str
    height: int
    width: int


def read_image(path: pathlib.Path) -> ImageFile:
    """Reads an image file of any kind.

    Bytes of upright 8-bit RGB JPEG and PNG files are kept as they are. Anything else (grey, CMYK,
    palette, alpha, an EXIF rotation, another format) is turned upright, converted to RGB and
    encoded again (`image_files.to_rgb`).

    Args:
      path: the file.

    Raises:
      SourceError: no such file, not an image that decodes to its end, or one of 32-bit values.
    """
    try:
        content = read_image_bytes(path)
        with open_image(content) as image:
            width, height = image.size
            image_format = _STORED_FORMATS.get(image.format or "")
            upright_rgb = image.mode == "RGB" and image.getexif().get(_ORIENTATION, 1) == 1
            if image_format and upright_rgb and not _is_16_bit_png(content):
                # An eighth of the size is enough to find truncated JPEG data.
                image.draft("RGB", (1, 1))
                image.load()
                return ImageFile(content, image_format, height, width)
            upright = Image.fromarray(to_rgb(image))
    except READ_ERRORS as error:
        raise _unreadable("Image", path, error) from error
    buffer = io.BytesIO()
    if image_format == "jpeg":
        upright.save(buffer, "JPEG", quality=95)
    else:
        image_format = "png"
        upright.save(buffer, "PNG")
    return ImageFile(buffer.getvalue(), image_format, upright.height, upright.width)


def _unreadable(kind: str, path: pathlib.Path, error: Exception) -> SourceError:
    """The error that names a file which is missing or damaged."""
    problem = "missing" if isinstance(error, FileNotFoundError) else "cannot be read"
    reason = f"{kind[0].lower()}{kind[1:]} {problem}"
    if isinstance(error, UnidentifiedImageError):  # it names the buffer instead of the file
        return SourceError(f"{kind} {path} cannot be read: not an image of a known kind.", reason)
    return SourceError(f"{kind} {path} cannot be read: {error}.", reason)


def _is_16_bit_png(content: bytes) -> bool:
    """Whether each value has two bytes, of which Pillow drops the lower one without a word."""
    return content[:4] == b"\x89PNG" and content[24:25] == b"\x10"  # bit depth in the header


def read_segment_ids(path: pathlib.Path) -> np.ndarray:
    """Reads a COCO panoptic PNG.

    Returns:
      int32 [height, width], the segment id `R + 256 G + 65536 B` of each pixel.

    Raises:
      SourceError: no such file, not an image, or one without three colour channels of 8 bits.
    """
    try:
        content = read_image_bytes(path)
        with open_image(content) as image:
            mode = image.mode
            pixels = np.asarray(image)
    except READ_ERRORS as error:
        raise _unreadable("Panoptic PNG", path, error) from error
    depth = " of 16 bits" if _is_16_bit_png(content) else ""
    if mode not in ("RGB", "RGBA") or depth:
        raise SourceError(
            f"Panoptic PNG {path} must hold segment ids in its colours (mode RGB, 8 bits each); "
            f"received mode {mode}{depth}.",
            "panoptic PNG without 8-bit RGB colours",
        )
    colors = pixels.astype(np.int32)  # Transparency, where there is any, is not read.
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


def write_segment_ids(ids: np.ndarray, path: pathlib.Path) -> None:
    """Writes segment ids (int [height, width], below 2**24) as a COCO panoptic PNG."""
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1)
    Image.fromarray(colors.astype(np.uint8)).save(path, "PNG")

"""What an image may be at most, looked up in its header before anything is decoded.

A few bytes of PNG or JPEG can announce gigabytes of pixels.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from typing import Sequence, Tuple, Union

from PIL import Image, UnidentifiedImageError

from kmax_tf.bounded_files import read_bounded

MAX_IMAGE_SIDE = 65535
"""Height or width, the most that a JPEG can have."""

MAX_IMAGE_PIXELS = 2**26
"""Height times width, 67 megapixels: 201 MB decoded."""

MAX_IMAGE_BYTES = 2**29
"""Of an image file: as many as 67 megapixels of 16 bits and four channels."""

MAX_JPEG_SCANS = 1000
"""A progressive JPEG has ten; each costs time for the whole image, however short it is."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
"""Pillow reads many more, some of them by starting other programs."""

READ_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What reading and Pillow raise for files that are missing, damaged or made to be harmful."""

_JPEG_START = b"\xff\xd8\xff"
_SCAN_START = b"\xff\xda"


class ImageLimitError(ValueError):
    """An image that is larger than any limit of this module; the message is a clause."""


def describe_excess(height: int, width: int) -> str:
    """A clause that says which limit a size exceeds; empty where it is within all of them."""
    if height <= MAX_IMAGE_SIDE and width <= MAX_IMAGE_SIDE and height * width <= MAX_IMAGE_PIXELS:
        return ""
    return (
        f"it has {height}x{width} pixels, and at most {MAX_IMAGE_PIXELS} in all and "
        f"{MAX_IMAGE_SIDE} a side are read"
    )


def read_image_bytes(path: Union[str, os.PathLike]) -> bytes:
    """The content of an image file.

    Raises:
      OSError: no such file, or an unreadable one.
      ValueError: more than `MAX_IMAGE_BYTES`; the message is a clause.
    """
    return read_bounded(path, MAX_IMAGE_BYTES)


def open_image(content: bytes, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Opens an image without decoding its pixels, after a look at its limits.

    Args:
      content: of an image file.
      formats: by their names in Pillow.

    Raises:
      ImageLimitError: too many pixels or scans.
      Exception: what Pillow raises for anything but an image (`READ_ERRORS`).
    """
    if content.startswith(_JPEG_START) and content.count(_SCAN_START) > MAX_JPEG_SCANS:
        raise ImageLimitError(f"it is a JPEG of more than {MAX_JPEG_SCANS} scans")
    with warnings.catch_warnings():
        # Pillow's own limits are higher: what it would warn of is refused below.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=tuple(formats))
        except Image.DecompressionBombError:
            raise ImageLimitError(
                f"it has more than the {MAX_IMAGE_PIXELS} pixels that are read"
            ) from None
        except UnidentifiedImageError:  # Pillow names the buffer
            known = ", ".join(formats)
            raise UnidentifiedImageError(f"it is no image of a known kind ({known})") from None
    excess = describe_excess(*_size(image))
    if excess:
        image.close()
        raise ImageLimitError(excess)
    return image


def require_image_size(image: Image.Image) -> None:
    """Raises ImageLimitError where an image that somebody else opened is too large."""
    excess = describe_excess(*_size(image))
    if excess:
        raise ImageLimitError(excess)


def _size(image: Image.Image) -> Tuple[int, int]:
    width, height = image.size
    return height, width

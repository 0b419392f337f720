"""Reads a PNG whose pixel values are class ids."""

from __future__ import annotations

import pathlib

import numpy as np

from kmax_tf.data.converters.source_error import SourceError
from kmax_tf.image_limits import READ_ERRORS, open_image, read_image_bytes

_BIT_DEPTH_OFFSET = 24  # of the byte in the header of a PNG
# Pillow spreads grey values of fewer than 8 bits over 0..255; this is by how much.
_GREY_STEPS = {2: 85, 4: 17}


def read_class_mask(path: pathlib.Path) -> np.ndarray:
    """Reads a one-channel PNG of 1 to 16 bits; of a palette PNG the indices, not the colours.

    Args:
      path: the file.

    Returns:
      int32 [height, width], the stored values.

    Raises:
      SourceError: no such file, not a PNG that decodes to its end, or one with colour channels.
    """
    try:
        content = read_image_bytes(path)
        with open_image(content) as image:
            mode, image_format = image.mode, image.format
            values = np.asarray(image).astype(np.int32)
    except READ_ERRORS as error:
        raise SourceError(f"Mask {path} cannot be read: {error}.", "unreadable mask") from error
    if image_format != "PNG":
        raise SourceError(
            f"Mask {path} must be a PNG, which keeps class ids as they are; received "
            f"{image_format}.",
            "mask that is not a PNG",
        )
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise SourceError(
            f"Mask {path} must have one channel whose values are class ids (8-bit or 16-bit grey, "
            f"or a palette); received mode {mode}, so replace its colours by the ids of the "
            "classes first.",
            "mask with colours",
        )
    return values // _GREY_STEPS.get(content[_BIT_DEPTH_OFFSET], 1) if mode == "L" else values

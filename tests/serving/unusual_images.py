"""Images as nobody expects them: what each is, and who can use it."""

from __future__ import annotations

import io
from typing import Dict, NamedTuple, Optional

import numpy as np
from PIL import Image

from tests.export.toy import toy_image
from tests.image_bombs import LARGE, full_png

PIXELS = toy_image(20, 31)


class Unusual(NamedTuple):
    """A file.

    Attributes:
      content: of the file.
      gray: uint8 [H, W], what it shows upright; None = nothing.
      sent_as_it_is: whether the graph can use the file itself.
      message: what its error says, where it shows nothing.
    """

    content: bytes
    gray: Optional[np.ndarray] = PIXELS[..., 0]
    sent_as_it_is: bool = True
    message: str = ""


def unusual_images() -> Dict[str, Unusual]:
    """By file name."""
    image, negative = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    gray = PIXELS[..., 0]
    frames = {"save_all": True, "append_images": [negative]}
    glass = image.convert("RGBA")
    glass.putalpha(100)
    rotated = Image.Exif()
    rotated[0x0112] = 6  # To be turned clockwise.
    jpeg, progressive, png = (
        encode(image, "JPEG"),
        encode(image, "JPEG", progressive=True),
        encode(image, "PNG"),
    )
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 255
    cut, damaged = "damaged or incomplete", "damaged or incomplete"
    return {
        "baseline.jpg": Unusual(jpeg),
        "progressive.jpg": Unusual(progressive),
        "gray.jpg": Unusual(encode(Image.fromarray(gray), "JPEG")),
        "cmyk.jpg": Unusual(encode(image.convert("CMYK"), "JPEG")),
        "rotated.jpg": Unusual(encode(image, "JPEG", exif=rotated), np.rot90(gray, 3)),
        "gray.png": Unusual(encode(Image.fromarray(gray), "PNG")),
        "deep.png": Unusual(encode(Image.fromarray(gray.astype(np.uint16) * 257), "PNG")),
        "palette.png": Unusual(encode(image.convert("P"), "PNG")),
        "alpha.png": Unusual(encode(glass, "PNG")),
        "animated.png": Unusual(encode(image, "PNG", **frames)),
        "one_pixel.png": Unusual(encode(image.crop((0, 0, 1, 1)), "PNG"), gray[:1, :1]),
        "web.webp": Unusual(encode(image, "WEBP", lossless=True), gray, False),
        "animated.gif": Unusual(encode(image, "GIF", **frames), gray, False),
        "flat.bmp": Unusual(encode(image, "BMP"), gray, False),
        "tagged.tif": Unusual(encode(image, "TIFF"), gray, False),
        "empty.jpg": Unusual(b"", None, False, "not an image file"),
        "text.jpg": Unusual(b"no image at all", None, False, "not an image file"),
        "cut.jpg": Unusual(jpeg[: len(jpeg) // 2], None, False, cut),
        "cut_progressive.jpg": Unusual(progressive[:-9], None, False, cut),
        "cut.png": Unusual(png[: len(png) // 2], None, False, cut),
        "damaged.png": Unusual(bytes(flipped), None, False, damaged),
        "huge.png": Unusual(full_png(*LARGE), None, False, "is too large"),
    }


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def toy_classes(gray: np.ndarray) -> np.ndarray:
    """What the toy network finds in an image."""
    return 1 + (gray > 85).astype(int) + (gray > 170).astype(int)

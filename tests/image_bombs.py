"""Small files that announce many pixels, made byte by byte."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

HUGE = (60_000, 60_000)
"""Height and width: 10.8 GB as RGB. Pillow refuses it by itself."""

LARGE = (9_000, 8_000)
"""Too large here, and neither for Pillow nor for TensorFlow."""


def png_bomb(height: int, width: int) -> bytes:
    """A PNG whose header announces a size; without pixels, in 60 bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def full_png(height: int, width: int) -> bytes:
    """A black PNG of one bit that decodes, a thousandth of its pixels in bytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + -(-width // 8))
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def jpeg_bomb(height: int, width: int) -> bytes:
    """A JPEG of 8 x 8 pixels whose header announces another size."""
    content = encode(8, 8, "JPEG")
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


def many_scans(count: int) -> bytes:
    """A progressive JPEG that ends in the same short scan again and again."""
    content = encode(64, 64, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def encode(height: int, width: int, kind: str, **options) -> bytes:
    """An image of random pixels as a file of any kind that Pillow writes."""
    pixels = np.random.RandomState(0).randint(0, 255, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kmax_tf.data.converters.class_masks import read_class_mask
from kmax_tf.data.converters.source_error import SourceError
from tests.image_bombs import HUGE, LARGE, png_bomb

VALUES = np.array([[0, 7, 200], [255, 1, 90]])


def write_png(path, values, bits, *, interlaced=False):
    """A grey PNG of any bit depth, written by hand: Pillow can only write 1, 8 and 16."""
    height, width = values.shape
    rows = b""
    for row in values.tolist():
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += bytes([0]) + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_of_every_depth_keeps_its_values(tmp_path, bits):
    values = np.random.default_rng(bits).integers(0, 2**bits, (5, 7))
    values.flat[0] = 2**bits - 1
    write_png(tmp_path / "mask.png", values, bits)
    read = read_class_mask(tmp_path / "mask.png")
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_files_of_pillow(tmp_path, dtype):
    values = VALUES.astype(dtype) * (1 if dtype == np.uint8 else 257)
    Image.fromarray(values).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_class_mask(tmp_path / "mask.png"), values)


@pytest.mark.parametrize("count", [256, 3])
def test_of_a_palette_the_index_counts(tmp_path, count):
    values = (VALUES % count).astype(np.uint8)
    image = Image.fromarray(values).convert("L")
    image.putpalette([(37 * i) % 256 for i in range(3 * count)])
    image.save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as saved:
        assert saved.mode == "P"
    np.testing.assert_array_equal(read_class_mask(tmp_path / "mask.png"), values)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(tmp_path, mode):
    Image.fromarray(VALUES.astype(np.uint8)).convert(mode).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=rf"mask\.png must have one channel.*mode {mode}, so"):
        read_class_mask(tmp_path / "mask.png")


def test_other_formats_and_damaged_files_are_named(tmp_path):
    path = tmp_path / "mask.png"
    with pytest.raises(ValueError, match=r"mask\.png cannot be read"):
        read_class_mask(path)
    Image.fromarray(VALUES.astype(np.uint8)).save(path, "JPEG")
    with pytest.raises(ValueError, match=r"mask\.png must be a PNG.*JPEG"):
        read_class_mask(path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for broken in (b"", b"text", content[:20], content[:2000]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"mask\.png cannot be read"):
            read_class_mask(path)


@pytest.mark.parametrize("size", [HUGE, LARGE])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_bomb(*size))
    with pytest.raises(SourceError, match=r"Mask .*bomb\.png cannot be read: it has .*are read\."):
        read_class_mask(tmp_path / "bomb.png")

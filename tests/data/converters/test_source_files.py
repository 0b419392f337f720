from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kmax_tf.data import image_files
from kmax_tf.data.converters import source_files
from kmax_tf.data.converters.source_error import SourceError
from tests.image_bombs import HUGE, LARGE, png_bomb

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_rgb_files_are_kept_byte_for_byte(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path)
    image = source_files.read_image(path)
    assert image.content == path.read_bytes()
    assert image[1:] == ({"jpg": "jpeg"}.get(suffix, suffix), 16, 24)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("image.jpg" if mode in ("L", "CMYK") else "image.png")
    Image.fromarray(PIXELS).convert(mode).save(path)
    image = source_files.read_image(path)
    with Image.open(io.BytesIO(image.content)) as decoded:
        assert (decoded.mode, decoded.size) == ("RGB", (24, 16))


def test_other_formats_become_png(tmp_path):
    path = tmp_path / "image.bmp"
    Image.fromarray(PIXELS).save(path)
    image = source_files.read_image(path)
    assert image.image_format == "png"
    with Image.open(io.BytesIO(image.content)) as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), PIXELS)


def test_exif_rotation_is_applied(tmp_path):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    smooth = Image.fromarray(PIXELS[:2, :3]).resize((24, 16), Image.BILINEAR)
    smooth.save(path, exif=exif, quality=95)
    image = source_files.read_image(path)
    assert (image.height, image.width) == (24, 16)
    with Image.open(io.BytesIO(image.content)) as decoded:
        assert decoded.getexif().get(0x0112, 1) == 1
        difference = np.asarray(decoded, int) - np.rot90(np.asarray(smooth, int), -1)
    assert np.abs(difference).mean() < 4


def test_16_bit_colours(tmp_path):
    """Pillow cannot write such a PNG: the header, then rows of three big-endian values."""
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)
    rows = b"".join(b"\x00" + struct.pack(">9H", *([0x4020, 0x0102, 0xFFFF] * 3)) for _ in "ab")
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with Image.open(io.BytesIO(source_files.read_image(path).content)) as decoded:
        assert np.asarray(decoded).tolist() == [[[0x40, 0x01, 0xFF]] * 3] * 2
    with pytest.raises(SourceError, match="mode RGB of 16 bits") as error:
        source_files.read_segment_ids(path)
    assert error.value.reason == "panoptic PNG without 8-bit RGB colours"


def test_the_reason_tells_missing_from_broken(tmp_path):
    path = tmp_path / "image.jpg"
    with pytest.raises(SourceError, match="No such file") as error:
        source_files.read_image(path)
    assert error.value.reason == "image missing"
    path.write_bytes(b"text")
    with pytest.raises(SourceError, match="not an image of a known kind") as error:
        source_files.read_image(path)
    assert error.value.reason == "image cannot be read"


def test_unreadable_images_are_named(tmp_path):
    path = tmp_path / "image.jpg"
    with pytest.raises(ValueError, match=r"image\.jpg cannot be read"):
        source_files.read_image(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"image\.jpg cannot be read"):
        source_files.read_image(path)
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"image\.jpg cannot be read.*truncated"):
        source_files.read_image(path)


def test_segment_ids(tmp_path):
    ids = np.array([[0, 1, 255], [256, 70000, 2**24 - 1]])
    path = tmp_path / "ids.png"
    source_files.write_segment_ids(ids, path)
    read = source_files.read_segment_ids(path)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, ids)
    Image.new("L", (3, 2)).save(path)
    with pytest.raises(ValueError, match="mode L"):
        source_files.read_segment_ids(path)
    Image.fromarray(PIXELS).quantize(2).save(path, transparency=bytes([0, 9]))
    with pytest.raises(ValueError, match="mode P"):
        source_files.read_segment_ids(path)
    Image.fromarray(np.array([[[1, 2, 3, 4], [5, 6, 7, 0]]], np.uint8)).save(path)
    np.testing.assert_array_equal(
        source_files.read_segment_ids(path), [[1 + 512 + 3 * 65536, 5 + 6 * 256 + 7 * 65536]]
    )
    with pytest.raises(ValueError, match=r"missing\.png cannot be read"):
        source_files.read_segment_ids(tmp_path / "missing.png")


def test_16_bit_grey_keeps_its_upper_bits(tmp_path):
    path = tmp_path / "image.png"
    values = np.arange(0, 65536, 171, np.uint16)[:384].reshape(16, 24)
    Image.fromarray(values).save(path)
    content = source_files.read_image(path).content
    with Image.open(io.BytesIO(content)) as decoded:
        expected = np.repeat(values[..., None] // 256, 3, -1)
        np.testing.assert_array_equal(np.asarray(decoded), expected)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused(tmp_path, kind):
    path = tmp_path / "image.tiff"
    Image.fromarray(np.full((4, 5), 200, kind)).save(path)
    with pytest.raises(SourceError, match=r"image\.tiff cannot be read: values must have 8 or 16"):
        source_files.read_image(path)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("kind", ["grey", "16 bit", "palette", "turned"])
def test_a_record_has_the_pixels_that_prediction_sees(tmp_path, suffix, kind):
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "turned" else 1
    image = {
        "grey": Image.fromarray(PIXELS).convert("L"),
        "16 bit": Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 256 + 77),
        "palette": Image.fromarray(PIXELS).quantize(7),
        "turned": Image.fromarray(PIXELS),
    }[kind]
    image.save(path, exif=exif)
    content = source_files.read_image(path).content
    np.testing.assert_array_equal(image_files.read_image(content), image_files.read_image(path))


@pytest.mark.parametrize("read", [source_files.read_image, source_files.read_segment_ids])
def test_damaged_png_files_are_named(tmp_path, read):
    path = tmp_path / "image.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2**21, zip=True)  # Pillow refuses more than 1 MiB
    Image.fromarray(PIXELS).save(path, pnginfo=text)
    with pytest.raises(ValueError, match=r"image\.png cannot be read"):
        read(path)
    Image.fromarray(PIXELS).save(path)
    content = path.read_bytes()
    damaged = content[:60] + bytes(200) + content[260:]
    for broken in (b"", content[:30], content[:500], damaged):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"image\.png cannot be read"):
            read(path)


@pytest.mark.parametrize("size", [HUGE, LARGE])
@pytest.mark.parametrize("read", [source_files.read_image, source_files.read_segment_ids])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, read, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(*size))
    with pytest.raises(SourceError, match=r"bomb\.png cannot be read: it has .*are read\.$"):
        read(path)

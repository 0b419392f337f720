"""Images of every kind come out as upright RGB; what cannot be read is named in one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kmax_tf.data.image_files import PixelDepthError, find_images, read_image, to_rgb
from kmax_tf.image_limits import READ_ERRORS
from tests.image_bombs import HUGE, LARGE, many_scans, png_bomb


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 255, (12, 20, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_as_path_bytes_and_picture(tmp_path, pixels, kind):
    content = encoded(Image.fromarray(pixels), kind)
    path = tmp_path / "image"
    path.write_bytes(content)
    for source in (path, str(path), content, Image.fromarray(pixels), pixels):
        np.testing.assert_array_equal(read_image(source), pixels)


def test_jpeg_has_the_pixels_that_tensorflow_decodes(pixels):
    content = encoded(Image.fromarray(pixels), "JPEG")
    np.testing.assert_array_equal(read_image(content), tf.io.decode_jpeg(content, channels=3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(read_image(content), expected)
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(content))), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA", "1"])
def test_other_modes_become_rgb(pixels, mode):
    image = Image.fromarray(pixels).convert(mode)
    assert read_image(image).shape == (12, 20, 3)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert read_image(encoded(image, kind)).shape == (12, 20, 3)


def test_sixteen_bits_are_scaled():
    values = np.array([[0, 256, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        image = read_image(encoded(Image.fromarray(values), kind))
        np.testing.assert_array_equal(image[0, :, 0], [0, 1, 255])


def test_a_transparent_palette_gives_no_warning(pixels):
    """Warnings fail tests."""
    content = encoded(
        Image.fromarray(pixels).quantize(4), "PNG", transparency=bytes([0, 99, 255, 255])
    )
    with Image.open(io.BytesIO(content)) as image:
        assert (image.mode, type(image.info["transparency"])) == ("P", bytes)
        palette = np.reshape(image.getpalette(), (-1, 3))
        np.testing.assert_array_equal(to_rgb(image), palette[np.asarray(image)])
    np.testing.assert_array_equal(read_image(content), palette[np.asarray(image)])


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_modes_of_sixteen_bits_keep_the_upper_eight(byte_order):
    values = np.array([[0, 255, 256], [40000, 65279, 65535]], np.uint16)
    mode = {"<u2": "I;16", ">u2": "I;16B"}[byte_order]
    image = Image.frombytes(mode, (3, 2), values.astype(byte_order).tobytes())
    expected = np.repeat(values[..., None] // 256, 3, -1)
    np.testing.assert_array_equal(to_rgb(image), expected)
    np.testing.assert_array_equal(read_image(image), expected)


def test_a_png_in_the_mode_of_32_bits_has_16(monkeypatch):
    """So some versions of Pillow open it."""
    image = Image.fromarray(np.array([[0, 511, 65535]], np.int32))
    assert image.mode == "I"
    monkeypatch.setattr(image, "format", "PNG", raising=False)
    assert to_rgb(image)[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused(tmp_path, kind):
    """Also where all values are small: 200 may be bright or nearly black."""
    image = Image.fromarray(np.full((4, 5), 200, kind))
    with pytest.raises(PixelDepthError, match=rf"8 or 16 bits; received 32 .*mode {image.mode}"):
        to_rgb(image)
    with pytest.raises(ValueError, match=r"The given image cannot be used: values must have 8 or"):
        read_image(image)
    path = tmp_path / "deep.tiff"
    image.save(path)
    with pytest.raises(ValueError, match=r"^Image .*deep\.tiff cannot be read: .*\)\.$"):
        read_image(path)


@pytest.mark.parametrize("error", READ_ERRORS)
def test_whatever_pillow_raises_is_one_sentence(pixels, monkeypatch, error):
    def fail(*_, **__):
        raise error("cut off")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match=r"^Image the given bytes is (damaged|too large)"):
        read_image(encoded(Image.fromarray(pixels), "PNG"))


def test_unreadable_images_are_named(tmp_path, pixels):
    with pytest.raises(ValueError, match=r"none\.jpg does not exist"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.jpg is not an image"):
        read_image(tmp_path / "text.jpg")
    for kind in ("JPEG", "PNG", "BMP"):
        half = encoded(Image.fromarray(np.tile(pixels, (9, 9, 1))), kind)
        (tmp_path / "half.jpg").write_bytes(half[: len(half) // 2])
        with pytest.raises(ValueError, match=r"half\.jpg is damaged"):
            read_image(tmp_path / "half.jpg")
    with pytest.raises(ValueError, match=r"float64 \[4, 4, 3\]"):
        read_image(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="is a folder; give it in a list"):
        read_image(tmp_path)


def test_folders_are_listed_once_and_sorted(tmp_path, pixels):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_images([tmp_path, tmp_path / "b.png"])
    assert [path.name for path in found] == ["a.JPG", "b.png"]
    with pytest.raises(ValueError, match="does not exist"):
        find_images([tmp_path / "missing"])
    (tmp_path / "folder.png").mkdir()  # Called like an image.
    assert find_images([tmp_path]) == found
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        find_images([tmp_path / "empty"])


@pytest.mark.parametrize("source", [None, 3, io.BytesIO(b"x"), (x for x in ())])
def test_other_sources_are_named(source):
    with pytest.raises(ValueError, match=f"`image` must be .*received {type(source).__name__}"):
        read_image(source)


@pytest.mark.parametrize("size", [HUGE, LARGE, (1, 70_000)])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(*size))
    with pytest.raises(ValueError, match=r"^Image .*bomb\.png is too large: it has .*\.$"):
        read_image(path)
    with pytest.raises(ValueError, match=r"^Image the given bytes is too large: it is a JPEG"):
        read_image(many_scans(2000))
    with pytest.raises(ValueError, match=r"^The given image cannot be used: it has 9000x8000"):
        read_image(Image.new("1", (8000, 9000)))


def test_a_file_of_many_bytes_is_not_read(tmp_path):
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=r"^Image .*long\.png is too large: it has more than"):
        read_image(path)

from __future__ import annotations

import pytest
from PIL import Image, UnidentifiedImageError

from kmax_tf.bounded_files import FileTooLargeError
from kmax_tf.image_limits import (
    FORMATS,
    MAX_IMAGE_BYTES,
    MAX_IMAGE_PIXELS,
    MAX_JPEG_SCANS,
    ImageLimitError,
    describe_excess,
    open_image,
    read_image_bytes,
    require_image_size,
)
from tests.image_bombs import HUGE, LARGE, encode, jpeg_bomb, many_scans, png_bomb


@pytest.mark.parametrize("kind", FORMATS)
def test_the_usual_formats_open(kind):
    with open_image(encode(5, 7, kind)) as image:
        assert image.size == (7, 5)
        assert image.format == kind


@pytest.mark.parametrize("size", [HUGE, LARGE, (13_000, 13_000), (65_536, 1), (1, 70_000)])
def test_what_announces_too_much_is_refused(size):
    with pytest.raises(ImageLimitError, match=r"^it has "):
        open_image(png_bomb(*size))
    if max(size) < 65_536:
        with pytest.raises(ImageLimitError, match=r"^it has "):
            open_image(jpeg_bomb(*size))


def test_limits_are_inclusive():
    assert MAX_IMAGE_PIXELS == 8192 * 8192
    assert describe_excess(8192, 8192) == ""
    assert describe_excess(65535, 1) == ""
    assert describe_excess(8192, 8193).startswith("it has 8192x8193 pixels, and at most 67108864")
    with open_image(png_bomb(8192, 8192)) as image:
        assert image.size == (8192, 8192)


def test_scans_are_counted():
    with open_image(many_scans(10)) as image:
        image.load()
    with pytest.raises(ImageLimitError, match=f"more than {MAX_JPEG_SCANS} scans"):
        open_image(many_scans(MAX_JPEG_SCANS))
    # The bytes that begin a scan are nothing special in other formats.
    with open_image(encode(5, 7, "PNG") + b"\xff\xda" * 2 * MAX_JPEG_SCANS) as image:
        assert image.size == (7, 5)


def test_formats_that_start_programs_are_not_opened():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(UnidentifiedImageError):
        open_image(postscript)
    with pytest.raises(UnidentifiedImageError):
        open_image(encode(5, 7, "BMP"), formats=("JPEG", "PNG"))


def test_opened_images_are_checked(tmp_path):
    require_image_size(Image.new("1", (100, 100)))
    with pytest.raises(ImageLimitError, match="it has 9000x8000 pixels"):
        require_image_size(Image.new("1", (8000, 9000)))


def test_huge_files_are_not_read(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(FileTooLargeError, match=str(MAX_IMAGE_BYTES)):
        read_image_bytes(path)

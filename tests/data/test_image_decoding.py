"""Images are decoded in the graph within limits; more is refused before memory is taken."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data.image_decoding import decode_image
from tests.image_bombs import HUGE, LARGE, encode, full_png, jpeg_bomb, many_scans, png_bomb


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decode(content: tf.Tensor) -> tf.Tensor:
    return decode_image(content, place=["Image", "a.jpg"])


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive):
    content = encode(16, 24, "JPEG", progressive=progressive)
    np.testing.assert_array_equal(decode(content), tf.io.decode_jpeg(content, channels=3))
    np.testing.assert_array_equal(decode_image(tf.constant(content), place=[]), decode(content))


def test_png_of_colours_and_grey():
    content = encode(16, 24, "PNG")
    np.testing.assert_array_equal(decode(content), tf.io.decode_png(content, channels=3))
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    expected = np.repeat(grey, 3, axis=2)
    np.testing.assert_array_equal(decode(tf.io.encode_png(grey)), expected)


def test_the_size_is_read_as_the_file_says():
    assert decode(encode(300, 1, "PNG")).shape == (300, 1, 3)
    assert decode(encode(1, 70, "JPEG")).shape == (1, 70, 3)
    assert decode(full_png(2, 65_535)).shape == (2, 65_535, 3)


@pytest.mark.parametrize("bomb", [png_bomb, jpeg_bomb])
@pytest.mark.parametrize("size", [HUGE, LARGE])
def test_bombs_are_refused_without_taking_memory(bomb, size):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(bomb(*size))
    message = caught.value.message
    assert f"[Image] [a.jpg] [has height and width] [{size[0]} {size[1]}]" in message
    assert "at most 67108864 pixels in all and 65535 a side" in message


def test_a_complete_image_beyond_the_limit_takes_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError, match="has height and width"):
        decode(full_png(*LARGE))
    # In kilobytes; decoded, the image has 216 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_one_long_side_is_refused():
    for size in ((1, 70_000), (2**32 - 1, 2**32 - 1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="65535 a side"):
            decode(png_bomb(*size))


def test_scans_are_counted():
    assert decode(many_scans(5)).shape == (64, 64, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG of more than 1000 scans"):
        decode(many_scans(1000))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_refused(kind):
    with pytest.raises(tf.errors.InvalidArgumentError, match="it is neither"):
        decode(encode(8, 8, kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_cut_off_is_named(kind):
    """Exactly what TensorFlow's decoders refuse for it, too; what follows the end does no harm."""
    content = encode(16, 24, kind)
    end = content.rindex({"JPEG": b"\xff\xd9", "PNG": b"IEND"}[kind])
    for length in (end + 1, len(content) // 2, 40):
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.io.decode_image(content[:length])
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decode(content[:length])
        assert "[Image] [a.jpg] [is cut off: the end of the file is missing.]" in str(caught.value)
    np.testing.assert_array_equal(decode(content + b"more"), decode(content))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", encode(9, 9, "PNG")[:60], b"P" * 99]
)
def test_what_is_damaged_is_refused(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content)

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kmax_tf.data import schema
from tests.data import toy_records
from tests.image_bombs import LARGE, png_bomb


@pytest.mark.parametrize("name", ["rgb_png", "grey_jpeg"])
def test_reads_records_of_the_reference(golden, name):
    arrays = np.load(golden / "data" / "tfrecord.npz")
    serialized = arrays[f"record/{name}/serialized"].tobytes()
    record = schema.parse_record(tf.constant(serialized), decode_label=True)
    assert record.file_name.numpy().decode() == f"name_{name}"
    image = schema.decode_image(record)
    np.testing.assert_array_equal(image, arrays[f"record/{name}/decoded_image"])
    label = schema.decode_label(record)
    np.testing.assert_array_equal(label, arrays[f"record/{name}/decoded_label"][..., 0])
    np.testing.assert_array_equal(label, arrays[f"record/{name}/label"])


def test_writes_what_the_reference_writes(golden):
    """The same features, byte for byte (the order of a map's entries is free)."""
    folder = golden / "data"
    arrays = np.load(folder / "tfrecord.npz")
    expected = tf.train.Example.FromString(arrays["record/rgb_png/serialized"].tobytes())
    features = expected.features.feature
    label = arrays["record/rgb_png/label"]
    written = schema.encode_record(
        features["image/encoded"].bytes_list.value[0],
        file_name="name_rgb_png",
        image_format="png",
        height=12,
        width=15,
        panoptic=label,
    )
    assert tf.train.Example.FromString(written) == expected
    keys = json.loads((folder / "tfrecord.json").read_text())["record_rgb_png"]["features"]
    assert sorted(features) == keys


def test_record_without_label():
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(buffer, "PNG")
    serialized = schema.encode_record(
        buffer.getvalue(), file_name="é", image_format="png", height=2, width=3, panoptic=None
    )
    record = schema.parse_record(tf.constant(serialized), decode_label=False)
    assert record.file_name.numpy().decode() == "é"
    np.testing.assert_array_equal(schema.decode_image(record), np.full((2, 3, 3), (9, 8, 7)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="segmentation/class"):
        schema.parse_record(tf.constant(serialized), decode_label=True)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image_format": "jpg"}, "image_format"),
        ({"panoptic": np.zeros((3, 2), np.int32)}, "panoptic"),
        ({"panoptic": np.zeros((2, 3), np.int64)}, "int64"),
    ],
)
def test_refuses(changes, match):
    arguments = {
        "file_name": "x",
        "image_format": "png",
        "height": 2,
        "width": 3,
        "panoptic": np.zeros((2, 3), np.int32),
    }
    with pytest.raises(ValueError, match=match):
        schema.encode_record(b"", **{**arguments, **changes})


def test_a_bomb_is_named_and_not_decoded():
    record = schema.parse_record(
        tf.constant(toy_records.record(6, image=png_bomb(*LARGE))), decode_label=True
    )
    decode = tf.function(lambda: schema.decode_image(record))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode()
    assert "[Bad record] [image_6] [has height and width] [9000 8000]" in caught.value.message


def length_prefixed(tag: int, content: bytes, length: int) -> bytes:
    """A field of a protobuf message that states a length, true or not."""
    prefix = bytes([tag])
    while length > 127:
        prefix += bytes([length & 127 | 128])
        length >>= 7
    return prefix + bytes([length]) + content


@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_value_that_states_gigabytes_does_not_end_the_process(length):
    """TensorFlow's parser by itself writes outside of its memory."""
    content = length_prefixed(10, b"abc", length)
    for tag in (10, 18, 10, 10):  # bytes_list, value of the map, entry of the map, features
        content = length_prefixed(tag, content, len(content))
        if tag == 18:
            content = length_prefixed(10, b"image/encoded", 13) + content
    with pytest.raises(tf.errors.DataLossError):
        schema.parse_record(tf.constant(content), decode_label=True)
    in_graph = tf.data.Dataset.from_tensors(content).map(
        lambda serialized: schema.parse_record(serialized, decode_label=True)
    )
    with pytest.raises(tf.errors.DataLossError):
        list(in_graph)


@pytest.mark.parametrize("content", [b"\x80\xff", b"no record", b"", b"\x0a\x00\x0a"])
def test_what_is_no_example_is_refused(content):
    errors = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
    with pytest.raises(errors):
        schema.parse_record(tf.constant(content), decode_label=True)


def test_a_name_that_is_no_text_is_readable_in_messages():
    example = tf.train.Example.FromString(toy_records.record(6, image=b"no image"))
    example.features.feature[schema.FILE_NAME].bytes_list.value[0] = b"a\xc7\x80\xffb"
    serialized = example.SerializeToString()
    expected = "a\u01c0\ufffdb"
    assert schema.file_name_of(tf.constant(serialized)).numpy().decode("utf-8") == expected
    decode = tf.function(
        lambda: schema.decode_image(schema.parse_record(tf.constant(serialized), decode_label=True))
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"\[Bad record\] \[{expected}\]"):
        decode()

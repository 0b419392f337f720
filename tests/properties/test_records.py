"""Records, given anything: parsed, or one clause about what is wrong; and round trips."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kmax_tf import labels
from kmax_tf.data import record_check, record_index, records, schema
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.image_decoding import decode_image
from tests.data import toy_records
from tests.image_bombs import encode

INFO = load_dataset_info("shapes")
RECORD = toy_records.record(3)
PNG, JPEG = encode(6, 9, "PNG"), encode(6, 9, "JPEG", progressive=True)
MANY = settings(derandomize=True, max_examples=100, deadline=None)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some replaced, cut out or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 2, 4, 8, 100_000])))
        content = content[:start] + draw(st.binary(max_size=8)) + content[stop:]
    return content


@given(st.binary(max_size=300) | mutated(RECORD))
@settings(MANY, max_examples=200)
def test_any_record_is_described(content):
    name, problem = record_check.describe_problem(content, INFO, decode_label=True)
    assert isinstance(name, str)
    if problem is not None:
        assert problem.split()[0] in ("is", "has", "lacks", "states", "cannot"), problem
        return
    record = schema.parse_record(tf.constant(content), decode_label=True)
    assert schema.decode_image(record).shape[:2] == schema.decode_label(record).shape


@given(st.binary(max_size=300) | mutated(RECORD))
@MANY
def test_the_graph_agrees_with_the_check(content):
    """A record that the check finds right can be read, and TensorFlow names its own errors."""
    try:
        record = schema.parse_record(tf.constant(content), decode_label=True)
        shape = schema.decode_image(record).shape[:2]
        read = shape == schema.decode_label(record).shape
    except schema.PARSE_ERRORS:
        read = False
    if not read:
        assert record_check.describe_problem(content, INFO, decode_label=True)[1]


@given(
    hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
@MANY
def test_what_was_written_is_parsed(panoptic, name):
    height, width = panoptic.shape
    pixels = np.random.RandomState(panoptic.size).randint(0, 255, (height, width, 3))
    image = tf.io.encode_png(pixels.astype(np.uint8)).numpy()
    serialized = schema.encode_record(
        image, file_name=name, image_format="png", height=height, width=width, panoptic=panoptic
    )
    record = schema.parse_record(tf.constant(serialized), decode_label=True)
    assert record.file_name.numpy().decode("utf-8") == name
    np.testing.assert_array_equal(schema.decode_image(record), pixels)
    np.testing.assert_array_equal(schema.decode_label(record), panoptic)


@given(st.integers(0, 2**15), st.integers(2, 2**15), st.data())
@MANY
def test_panoptic_ids_come_apart_again(class_id, divisor, data):
    instance = data.draw(st.integers(0, divisor - 1))
    for number in (np.int32, int):
        joined = labels.panoptic_id(number(class_id), number(instance), divisor)
        assert labels.class_of(joined, divisor) == class_id
        assert labels.instance_of(joined, divisor) == instance


@pytest.fixture(scope="module")
def decode():
    return tf.function(
        lambda content: decode_image(content, place=["Image", 7]),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


@pytest.mark.parametrize("image", [PNG, JPEG], ids=["png", "jpeg"])
def test_any_header_in_the_graph(decode, image):
    @given(st.binary(max_size=100) | mutated(image) | headers(image))
    @MANY
    def decode_or_refuse(content):
        try:
            decoded = decode(content)
        except tf.errors.InvalidArgumentError:
            return
        assert decoded.dtype == tf.uint8
        assert decoded.shape[2] == 3
        assert decoded.shape[0] * decoded.shape[1] <= 2**26

    decode_or_refuse()


def headers(image: bytes) -> st.SearchStrategy[bytes]:
    """An image of which four bytes of the header, where the size may be, are others."""
    size = image.find(b"IHDR") + 4 if image.startswith(b"\x89PNG") else image.find(b"\xff\xc2") + 5
    return st.tuples(st.integers(size - 2, size + 6), st.binary(min_size=4, max_size=4)).map(
        lambda change: image[: change[0]] + change[1] + image[change[0] + 4 :]
    )


@given(st.binary(max_size=200), st.integers(0, 60))
@MANY
def test_any_record_file_is_indexed(tmp_path_factory, content, kept):
    """Records before the damage are found and readable; the damage is named, and an error."""
    path = tmp_path_factory.mktemp("any") / "any-00000"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(2):
            writer.write(bytes([number]) * 14)  # 30 bytes with length and checksums
    path.write_bytes(path.read_bytes()[:kept] + content)
    assume(path.stat().st_size)
    index = record_index.index_file(str(path))
    assert index.count >= kept // 30
    assert index.problem or index.lengths.sum() == path.stat().st_size
    if index.problem:
        with pytest.raises(ValueError, match=r"any-00000"):
            records.find_records([str(path)])
    if kept >= 30:
        source = records.find_records([str(path)], damage_allowed=True)
        assert records.read_record(source, 0) == bytes(14)


@given(st.binary(max_size=100) | st.just(b"[" * 30_000))
@MANY
def test_any_cached_index_is_made_again(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "any-00000"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(bytes(70_000))
    state = path.stat()
    cached = record_index._cache_path(str(path))
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(content)
    index = record_index.index_file(str(path))
    assert (index.offsets.tolist(), index.lengths.tolist()) == ([0], [state.st_size])

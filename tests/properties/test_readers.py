"""JSON, run lengths, metrics and weight files, given anything; and round trips."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from kmax_tf.checkpoints.weight_files import open_weight_file
from kmax_tf.data.converters import coco_json, instance_masks
from kmax_tf.data.dataset_info import (
    format_dataset_info,
    load_dataset_info,
    parse_dataset_info,
)
from kmax_tf.results.coco_panoptic import coco_to_panoptic, decode_ids, encode_ids, panoptic_to_coco
from trainer.metrics_file import MetricsFile

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "checkpoints"
MANY = settings(derandomize=True, max_examples=100, deadline=None)
INFO = load_dataset_info("shapes")
INFO_JSON = json.loads(format_dataset_info(INFO))

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["id", "name", 1e308, math.inf, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, content: object) -> object:
    """JSON in which one value somewhere inside is another, or missing."""
    if isinstance(content, (dict, list)) and content and draw(st.integers(0, 5)):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = draw(st.sampled_from(keys))
        copy = content.copy()
        if draw(st.integers(0, 5)):
            copy[key] = draw(changed(content[key]))
        else:
            del copy[key]
        return copy
    return draw(JSON)


@given(changed(INFO_JSON))
@settings(MANY, max_examples=300)
def test_any_description_of_classes(content):
    try:
        info = parse_dataset_info(content, source="given.json")
    except ValueError as error:
        assert type(error) is ValueError
        assert "given.json" in str(error) or "`color`" in str(error), str(error)
        assert len(str(error)) < 1500
        return
    assert info.num_classes * info.label_divisor <= 2**31 - 1
    assert parse_dataset_info(json.loads(format_dataset_info(info)), source="again") == info


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [
        {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 3, "category_id": 2}]}
    ],
    "categories": [{"id": 2, "name": "cat", "isthing": 1}],
}


@given(st.binary(max_size=100) | changed(COCO).map(lambda c: json.dumps(c).encode()))
@MANY
def test_any_annotations(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given.json")
        path.write_bytes(content)
        try:
            read = coco_json.read_coco_json(path)
        except ValueError as error:
            assert str(path) in str(error)
            assert len(str(error)) < 1000
            return
    for annotation in read["annotations"]:
        assert all(isinstance(segment["id"], int) for segment in annotation["segments_info"])


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@MANY
def test_run_lengths_come_back(mask):
    height, width = mask.shape
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    text = {"size": [height, width], "counts": packed["counts"].decode("ascii")}
    read = instance_masks.read_segmentation(text, height, width)
    if not mask.any():
        assert read is None
        return
    assert read is not None
    np.testing.assert_array_equal(read.pixels(), mask)
    assert read.area == np.count_nonzero(mask)


COUNTS = st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30)
NUMBERS = st.integers(-3, 200) | st.floats() | st.none()


@given(
    st.fixed_dictionaries({"size": st.just([6, 7]), "counts": COUNTS | st.lists(NUMBERS)})
    | st.lists(st.lists(NUMBERS, max_size=12), max_size=3)
    | JSON
)
@settings(MANY, max_examples=300)
def test_any_segmentation(segmentation):
    try:
        mask = instance_masks.read_segmentation(segmentation, 6, 7)
    except ValueError as error:
        assert len(str(error)) < 300
        return
    assert mask is None or mask.pixels().shape == (6, 7)


@given(hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 2**24 - 1)))
@MANY
def test_segment_ids_come_back_from_colours(ids):
    np.testing.assert_array_equal(decode_ids(encode_ids(ids)), ids)


@given(hnp.arrays(np.int32, (4, 5), elements=st.sampled_from(INFO.class_ids)), st.data())
@MANY
def test_panoptic_maps_come_back_from_coco(classes, data):
    """Up to the numbers of instances: which pixels belong together stays, and their classes."""
    instances = data.draw(hnp.arrays(np.int32, (4, 5), elements=st.integers(1, 3)))
    panoptic = classes * INFO.label_divisor
    panoptic += np.where(np.isin(classes, INFO.thing_ids), instances, 0)
    again = coco_to_panoptic(*panoptic_to_coco(panoptic, INFO), INFO)
    np.testing.assert_array_equal(again // INFO.label_divisor, classes)
    pairs = set(zip(panoptic.ravel().tolist(), again.ravel().tolist()))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


LINES = st.lists(
    st.binary(max_size=20)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b'{"step": 5}', b'{"step": "5"}', b'{"step": 7, "a": NaN}', b"[" * 99_999]),
    max_size=5,
)


@given(LINES, st.booleans())
@MANY
def test_metrics_survive_any_line(lines, ended):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.jsonl")
        path.write_bytes(b"\n".join(lines) + b"\n" * ended)
        metrics = MetricsFile(path)
        before = metrics.rows()
        metrics.append(9, {"loss": 0.25})
        assert metrics.rows()[-1] == {"step": 9, "loss": 0.25}
        assert json.dumps(metrics.rows()[:-1]) == json.dumps(before)
        metrics.cut_after(5)
        kept = [row for row in before if row["step"] <= 5]
        assert json.dumps(metrics.rows()) == json.dumps(kept)
        assert path.read_bytes() == b"".join(json.dumps(r).encode() + b"\n" for r in kept)


ARRAYS = (GOLDEN / "convnext_authors.safetensors").read_bytes()
HEADER = json.loads(ARRAYS[8 : 8 + struct.unpack("<Q", ARRAYS[:8])[0]])


@st.composite
def weight_bytes(draw: st.DrawFn) -> bytes:
    """A safetensors file with another header, or one of any bytes."""
    header = json.dumps(draw(changed(HEADER))).encode()
    size = draw(st.just(len(header)) | st.integers(0, 2**64 - 1))
    data = draw(st.just(ARRAYS[-draw(st.integers(1, 3000)) :]) | st.binary(max_size=50))
    return struct.pack("<Q", size) + header + data


@given(st.binary(max_size=50) | weight_bytes())
@MANY
def test_any_weight_file(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given.safetensors")
        path.write_bytes(content)
        try:
            file = open_weight_file(path)
        except ValueError as error:
            assert str(path) in str(error)
            return
        for name, shape in file.shapes.items():
            assert math.prod(shape) <= len(content)
            try:
                assert file.read(name).shape == shape
            except ValueError as error:
                assert str(path) in str(error)


def test_descriptions_of_shipped_data_sets_come_back():
    for changed_name in (INFO, dataclasses.replace(INFO, name="é\n\"'")):
        text = format_dataset_info(changed_name)
        assert parse_dataset_info(json.loads(text), source="text") == changed_name

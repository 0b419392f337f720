from __future__ import annotations

import json

import numpy as np
import pytest

from kmax_tf.data.converters.panoptic_map import Segment, make_panoptic_map
from kmax_tf.data.dataset_info import load_dataset_info

NAMES = {"coco": "coco_panoptic", "city": "cityscapes_panoptic", "ade": "ade20k_panoptic"}


def convert(ids, segments, info, crowd_as_void):
    return make_panoptic_map(
        ids,
        segments,
        ignore_label=info.ignore_label,
        label_divisor=info.label_divisor,
        crowd_as_void=crowd_as_void,
        source="toy.png",
    )


@pytest.mark.parametrize("case", ["coco0", "coco1", "city0", "city1", "ade0", "ade1"])
@pytest.mark.parametrize("crowd_as_void", [True, False])
def test_golden(golden, case, crowd_as_void):
    arrays = np.load(golden / "data" / "tfrecord.npz")
    key = f"{case}/label_crowd_ignored_{crowd_as_void}"
    if key not in arrays.files:  # ADE20K has no crowd
        key = f"{case}/label_crowd_ignored_True"
    description = json.loads((golden / "data" / "tfrecord.json").read_text())[case]
    info = load_dataset_info(NAMES[description["kind"]])
    # The cases use Cityscapes train ids, which are the contiguous ids.
    sources = info.class_ids if description["kind"] == "city" else info.original_ids
    classes = {**dict(zip(sources, info.class_ids)), 255: info.ignore_label}
    colors = arrays[f"{case}/panoptic_png"].astype(np.int32)
    ids = colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]
    segments = []
    for segment in description["segments_info"]:
        class_id = classes[segment["category_id"]]
        is_thing = class_id in info.thing_ids
        segments.append(
            Segment(segment["id"], class_id, is_thing, bool(segment["iscrowd"]), segment["area"])
        )
    panoptic, _ = convert(ids, segments, info, crowd_as_void)
    assert panoptic.dtype == np.int32
    np.testing.assert_array_equal(panoptic, arrays[key])


INFO = load_dataset_info("shapes")


def test_counts_what_is_dropped():
    ids = np.array([[0, 7, 7, 40]], np.int32)
    segments = [Segment(7, 1, True, False, None), Segment(8, 2, True, False, None)]
    panoptic, dropped = convert(ids, segments, INFO, False)
    assert panoptic.tolist() == [[0, 257, 257, 0]]
    assert dropped == {"segment without pixels": 1, "segment id that is not in the list": 1}


def test_image_without_segments():
    panoptic, dropped = convert(np.zeros((2, 2), np.int32), [], INFO, False)
    assert not panoptic.any()
    assert dropped == {}


@pytest.mark.parametrize(
    ("segments", "match"),
    [
        ([Segment(7, 1, True, False, 3)], "area of 3 pixels, but the PNG has 2"),
        ([Segment(7, 7, False, True, 2)], "its class is stuff"),
        ([Segment(7, 1, True, False, 2)] * 2, "listed twice"),
        ([Segment(i, 1, True, False, None) for i in range(256)], "leaves room for 255"),
    ],
)
def test_refuses(segments, match):
    with pytest.raises(ValueError, match=match):
        convert(np.array([[7, 7]], np.int32), segments, INFO, False)

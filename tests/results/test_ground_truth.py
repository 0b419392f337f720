"""Ground truth that was written as COCO panoptic files is found by the name of the image."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kmax_tf.results.coco_panoptic import CocoPanopticWriter
from kmax_tf.results.ground_truth import GroundTruth
from tests.results.test_segments import INFO, MAP


@pytest.fixture
def path(tmp_path):
    with CocoPanopticWriter(tmp_path / "val", INFO) as writer:
        writer.add(MAP, name="000139", image_id=139)
        writer.add(np.full((4, 6), 300), name="street", image_id="street")
    return tmp_path / "val.json"


def test_maps_are_found_by_name(path):
    truth = GroundTruth(path, INFO)
    found = truth.find("000139")
    np.testing.assert_array_equal(found // 100, MAP // 100)
    np.testing.assert_array_equal(truth.find("street"), np.full((4, 6), 300))
    assert truth.find("other") is None


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"image_id": 1}, "needs a `file_name`"),
        ({"file_name": "../000139.png"}, "must be a path inside"),
        (
            {"file_name": "000139.png", "segments_info": [{"id": 1, "category_id": 5}]},
            "`category_id`",
        ),
    ],
)
def test_faulty_entries_are_named(path, entry, message):
    path.write_text(json.dumps({"annotations": [entry]}))
    with pytest.raises(ValueError, match=message):
        GroundTruth(path, INFO).find("000139")

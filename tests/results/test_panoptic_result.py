"""The result of one image: COCO entries, masks, pictures, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from kmax_tf.results.coco_panoptic import read_ids
from kmax_tf.results.panoptic_result import PICTURES, PanopticResult
from kmax_tf.results.segments import find_segments
from tests.results.test_overlay import toy_scene
from tests.results.test_segments import INFO


@pytest.fixture(scope="module")
def result() -> PanopticResult:
    image, panoptic = toy_scene()
    scores = {"segment_id": [101, 102, 300], "segment_score": [0.9, 0.8, 0.5]}
    segments = find_segments({"panoptic": panoptic, **scores}, INFO)
    semantic = np.maximum(panoptic // 100, 1)
    return PanopticResult("000139", image, panoptic, semantic, tuple(segments), INFO)


def test_coco_entries_are_those_of_the_files(result, tmp_path):
    result.save(tmp_path)
    saved = json.loads((tmp_path / "000139_panoptic.json").read_text())["annotations"][0]
    made = json.loads(json.dumps(result.to_coco()))
    assert {key: made[key] for key in saved} == saved
    assert made["image_id"] == 139
    ids = read_ids(tmp_path / made["file_name"])
    entries = {entry["id"]: entry for entry in made["segments_info"]}
    assert set(entries) == set(np.unique(ids)) - {0}
    masks = made["instances"] + made["stuff"]
    assert len(made["instances"]) == 3 and len(made["stuff"]) == 1
    for segment, entry in zip(result.segments, made["segments_info"]):
        (found,) = [m for m in masks if m["bbox"] == entry["bbox"]]
        np.testing.assert_array_equal(
            coco_mask.decode(found["segmentation"]) == 1, ids == entry["id"]
        )
        np.testing.assert_array_equal(result.mask(segment), ids == entry["id"])
        assert found["category_id"] == entry["category_id"]
        assert found["area"] == coco_mask.area(found["segmentation"]) == segment.area
        assert found["bbox"] == coco_mask.toBbox(found["segmentation"]).tolist()
        assert found.get("score") == segment.score
    # One thing came without a score.
    assert sum("score" in entry for entry in made["instances"]) == 2


def test_ids_and_names_can_be_given(result):
    made = result.to_coco(image_id=7, file_name="seven.png")
    assert (made["image_id"], made["file_name"]) == (7, "seven.png")
    assert {entry["image_id"] for entry in made["instances"]} == {7}


def test_pictures_of_every_kind(result, tmp_path):
    result.save(tmp_path, pictures=list(PICTURES))
    drawn = {kind: np.asarray(result.picture(kind)) for kind in PICTURES}
    assert {f"000139_{kind}.png" for kind in drawn} < {path.name for path in tmp_path.iterdir()}
    assert {picture.shape for picture in drawn.values()} == {(485, 645, 3)}
    for kind, picture in drawn.items():
        assert sum(np.array_equal(picture, other) for other in drawn.values()) == 1, kind
    np.testing.assert_array_equal(drawn["overlay"], np.asarray(result.overlay()))


def test_comparison_has_three_panels(result):
    picture = result.comparison(result.panoptic)
    assert picture.width > 3 * 645
    assert picture.height > 485


def test_unknown_pictures_are_named(result, tmp_path):
    with pytest.raises(ValueError, match=r"`pictures` must be some of overlay.*received sketch"):
        result.save(tmp_path / "new", pictures=["overlay", "sketch"])
    assert not (tmp_path / "new").exists()

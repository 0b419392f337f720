"""COCO panoptic files."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from kmax_tf.results import coco_panoptic
from kmax_tf.results.coco_panoptic import CocoPanopticWriter
from kmax_tf.results.segments import find_segments
from tests.image_bombs import HUGE, LARGE, png_bomb
from tests.results.test_segments import INFO, MAP


def test_ids_and_colors() -> None:
    ids = np.array([[0, 1, 255], [256, 65536 + 512 + 3, 2**24 - 1]])
    colors = coco_panoptic.encode_ids(ids)
    assert colors[1, 1].tolist() == [3, 2, 1]
    np.testing.assert_array_equal(coco_panoptic.decode_ids(colors), ids)
    with pytest.raises(ValueError, match=r"0\.\.16777215; received 0\.\.16777216"):
        coco_panoptic.encode_ids(np.array([[0, 2**24]]))


def test_files_round_trip(tmp_path: pathlib.Path) -> None:
    rows = {"segment_id": [101], "segment_score": [0.123456789]}
    segments = find_segments({"panoptic": MAP, **rows}, INFO)
    with CocoPanopticWriter(tmp_path / "result", INFO) as writer:
        writer.add(MAP, name="first", image_id=5, segments=segments)
        writer.add(np.zeros([2, 2], np.int32), name="second", image_id=7, image_file="b.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result", "result.json"]
    assert sorted(p.name for p in (tmp_path / "result").iterdir()) == ["first.png", "second.png"]

    content = coco_panoptic.read_coco_panoptic(tmp_path / "result.json")
    first, second = content["annotations"]
    assert (first["image_id"], first["file_name"]) == (5, "first.png")
    assert second["segments_info"] == []
    assert [entry["category_id"] for entry in first["segments_info"]] == [193, 17, 18]
    assert [entry["area"] for entry in first["segments_info"]] == [7, 4, 1]
    assert [entry.get("score") for entry in first["segments_info"]] == [None, 0.123457, None]
    assert content["categories"][0] == {
        "id": 17,
        "name": "cat",
        "isthing": 1,
        "color": [200, 0, 0],
    }
    assert content["images"][1] == {"id": 7, "file_name": "b.png", "height": 2, "width": 2}

    ids = coco_panoptic.read_ids(tmp_path / "result" / "first.png")
    assert sorted(np.unique(ids)) == sorted([0] + [e["id"] for e in first["segments_info"]])
    restored = coco_panoptic.coco_to_panoptic(ids, first["segments_info"], INFO)
    np.testing.assert_array_equal(restored, np.where(MAP == 207, 201, MAP))


def test_every_segment_gets_its_own_id() -> None:
    panoptic = 101 + np.arange(600, dtype=np.int32).reshape(20, 30) % 99
    panoptic[10:] += 100
    ids, segments_info = coco_panoptic.panoptic_to_coco(panoptic, INFO)
    assert len({entry["id"] for entry in segments_info}) == len(np.unique(panoptic))
    restored = coco_panoptic.coco_to_panoptic(ids, segments_info, INFO)
    assert len(np.unique(restored)) == len(np.unique(panoptic))
    np.testing.assert_array_equal(restored // 100, panoptic // 100)


def test_free_ids_never_run_out() -> None:
    taken = {0}
    ids = [coco_panoptic._free_id((0, 0, 0), taken) for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert 0 not in ids


def test_crowd_and_unlisted_segments() -> None:
    ids = np.array([[1, 1, 2, 3, 0]])
    segments_info = [
        {"id": 1, "category_id": 17, "iscrowd": 1},
        {"id": 2, "category_id": 17, "iscrowd": 0},
        {"id": 9, "category_id": 18, "iscrowd": 0},
    ]
    panoptic = coco_panoptic.coco_to_panoptic(ids, segments_info, INFO)
    np.testing.assert_array_equal(panoptic, [[100, 100, 101, 0, 0]])


def test_errors(tmp_path: pathlib.Path) -> None:
    ids = np.ones([1, 1], np.int32)
    with pytest.raises(ValueError, match=r"\[17, 18, 193\]; received 4"):
        coco_panoptic.coco_to_panoptic(ids, [{"id": 1, "category_id": 4}], INFO)
    many = [{"id": i, "category_id": 17} for i in range(1, 102)]
    with pytest.raises(ValueError, match="99 instances of a class"):
        coco_panoptic.coco_to_panoptic(ids, many, INFO)
    with pytest.raises(ValueError, match=r"missing\.json cannot be read"):
        coco_panoptic.read_coco_panoptic(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        coco_panoptic.read_coco_panoptic(tmp_path / "broken.json")
    (tmp_path / "other.json").write_text(json.dumps([]))
    with pytest.raises(ValueError, match="no `annotations`"):
        coco_panoptic.read_coco_panoptic(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"missing\.png cannot be read"):
        coco_panoptic.read_ids(tmp_path / "missing.png")
    Image.new("L", (2, 2)).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="must be RGB; received mode L"):
        coco_panoptic.read_ids(tmp_path / "grey.png")


def test_a_failed_write_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TypeError):
        coco_panoptic.write_json(tmp_path / "a.json", {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_name_may_occur_once(tmp_path: pathlib.Path) -> None:
    panoptic = np.full([2, 2], INFO.void_panoptic, np.int32)
    with CocoPanopticWriter(tmp_path, INFO) as writer:
        writer.add(panoptic, name="000139", image_id=139)
        with pytest.raises(ValueError, match="received '000139' again"):
            writer.add(panoptic, name="000139", image_id=140)


def test_bombs_are_refused_before_they_are_decoded(tmp_path: pathlib.Path) -> None:
    for size in (HUGE, LARGE):
        (tmp_path / "bomb.png").write_bytes(png_bomb(*size))
        with pytest.raises(ValueError, match=r"Panoptic PNG .*bomb\.png cannot be read: it has"):
            coco_panoptic.read_ids(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["../first", "/tmp/first", "", "a/b"])
def test_names_cannot_leave_the_folder(tmp_path: pathlib.Path, name: str) -> None:
    writer = CocoPanopticWriter(tmp_path / "result", INFO)
    with pytest.raises(ValueError, match="`name` of an image must be the name of a file"):
        writer.add(MAP, name=name, image_id=5)
    assert [p.name for p in tmp_path.rglob("*")] == ["result"]

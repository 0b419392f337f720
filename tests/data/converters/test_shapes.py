from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kmax_tf.data import records, schema
from kmax_tf.data.converters import shapes, shapes_drawing, source_files
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters.test_coco import read


def build(folder, **changes):
    arguments = {
        "num_train": 4,
        "num_val": 2,
        "seed": 0,
        "options": shapes_drawing.SceneOptions(),
        **changes,
    }
    return shapes.build_shapes(output_dir=str(folder), **arguments)


def test_files_are_in_coco_format_and_become_records(tmp_path):
    reports = build(tmp_path)
    assert [(r["split"], r["images"]) for r in reports] == [("train", 4), ("val", 2)]
    content = json.loads((tmp_path / "panoptic_train.json").read_text())
    info = load_dataset_info("shapes")
    assert [c["id"] for c in content["categories"]] == list(info.original_ids)
    parsed = list(read(tmp_path / "tfrecords" / "train-*"))
    assert len(parsed) == len(content["images"]) == len(content["annotations"]) == 4
    for image, annotation, record in zip(content["images"], content["annotations"], parsed):
        with Image.open(tmp_path / "images" / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"])
        ids = source_files.read_segment_ids(tmp_path / "panoptic_train" / annotation["file_name"])
        panoptic = schema.decode_label(record).numpy()
        listed = {segment["id"] for segment in annotation["segments_info"]}
        assert listed == set(np.unique(ids).tolist()) - {0}
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            assert segment["area"] == mask.sum()
            left, top, width, height = segment["bbox"]
            assert mask[top : top + height, left : left + width].sum() == mask.sum()
            (value,) = np.unique(panoptic[mask])
            assert info.original_ids[info.class_ids.index(value // 256)] == segment["category_id"]
    written = load_dataset_info(str(tmp_path / "tfrecords" / "dataset_info.json"))
    assert written == info


def test_nothing_is_made_twice(tmp_path):
    build(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    reports = build(tmp_path)
    assert all(r["shards_kept"] == r["shards"] for r in reports)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}


def test_another_seed_draws_other_scenes(tmp_path):
    build(tmp_path)
    first = (tmp_path / "images" / "train_000000.jpg").read_bytes()
    reports = build(tmp_path, seed=1)
    assert all(r["shards_kept"] == 0 for r in reports)
    assert (tmp_path / "images" / "train_000000.jpg").read_bytes() != first
    assert records.count_records([str(tmp_path / "tfrecords" / "train-*")]) == 4


def test_training_and_validation_differ(tmp_path):
    build(tmp_path)
    images = [(tmp_path / "images" / f"{s}_000000.jpg").read_bytes() for s in ("train", "val")]
    assert images[0] != images[1]


def test_refuses_no_images(tmp_path):
    with pytest.raises(ValueError, match="num_val"):
        build(tmp_path, num_val=0)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"info": 5}'])
def test_a_split_whose_json_is_damaged_is_drawn_again(tmp_path, text):
    build(tmp_path)
    path = tmp_path / "panoptic_val.json"
    whole = path.read_text()
    path.write_text(text)
    build(tmp_path)
    assert path.read_text() == whole

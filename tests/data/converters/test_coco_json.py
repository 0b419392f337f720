from __future__ import annotations

import json

import pytest

from kmax_tf.data.converters.coco_json import read_coco_json
from tests.data.converters import toy_coco


@pytest.fixture
def path(tmp_path):
    toy_coco.write(tmp_path)
    return tmp_path / "panoptic_train.json"


def test_reads_what_is_there(path):
    content = read_coco_json(path)
    assert content["annotations"][0]["segments_info"] == toy_coco.SEGMENTS
    assert content["categories"] == toy_coco.CATEGORIES


@pytest.mark.parametrize(
    ("place", "key", "match"),
    [
        (["images", 1], "id", "entry 1 of `images` must have `id`, an integer or text; it lacks"),
        (["images", 0], "file_name", "entry 0 of `images` must have `file_name`, text"),
        (["annotations", 2], "image_id", "entry 2 of `annotations` must have `image_id`"),
        (["annotations", 0], "file_name", "`file_name`, text; it lacks it.$"),
        (["annotations", 0], "segments_info", "`segments_info`, a list; it lacks it.$"),
        (
            ["annotations", 1, "segments_info", 3],
            "id",
            "3 of `segments_info` of train_1.png .*`id`",
        ),
        (["annotations", 1, "segments_info", 0], "category_id", "`category_id`, an integer"),
        (["categories", 0], "id", "entry 0 of `categories` must have `id`, an integer"),
    ],
)
def test_missing_keys_are_named(path, place, key, match):
    content = json.loads(path.read_text())
    entry = content
    for step in place:
        entry = entry[step]
    del entry[key]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=match) as error:
        read_coco_json(path)
    assert str(path) in str(error.value)
    entry[key] = None
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"`{key}`.*it has None"):
        read_coco_json(path)


def test_an_instances_json_is_recognised(path):
    annotation = {"id": 1, "image_id": 100, "category_id": 3, "bbox": [], "segmentation": []}
    toy_coco.edit(path.parent, "train", annotations=[annotation])
    with pytest.raises(ValueError, match="this looks like an instances JSON"):
        read_coco_json(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("3", r"it lacks \['images', 'annotations', 'categories'\]"),
        ('{"images": {}, "annotations": [], "categories": []}', "`images` must be a list"),
        ('{"images": [7], "annotations": [], "categories": []}', "entry 0 .* must be an object"),
        ("{", "not valid JSON"),
    ],
)
def test_other_content(path, content, match):
    path.write_text(content)
    with pytest.raises(ValueError, match=match):
        read_coco_json(path)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_coco_json(tmp_path / "no.json")

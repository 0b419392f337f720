from __future__ import annotations

import dataclasses
import json

import pytest

from kmax_tf.data import dataset_info
from kmax_tf.palette import distinct_colors


@pytest.mark.parametrize(
    ("name", "things", "stuff", "channels", "ignore", "divisor"),
    [
        ("coco_panoptic", 80, 53, 134, 0, 256),
        ("cityscapes_panoptic", 8, 11, 19, 255, 1000),
        ("ade20k_panoptic", 100, 50, 151, 0, 1000),
        ("shapes", 6, 4, 11, 0, 256),
    ],
)
def test_built_in(name, things, stuff, channels, ignore, divisor):
    info = dataset_info.load_dataset_info(name)
    assert (len(info.thing_ids), len(info.stuff_ids)) == (things, stuff)
    assert (info.num_classes, info.ignore_label, info.label_divisor) == (channels, ignore, divisor)
    assert info.name == name
    assert len(set(info.colors)) == len(info.colors)
    assert len(set(info.original_ids)) == len(info.original_ids)


def test_known_values():
    coco = dataset_info.load_dataset_info("coco_panoptic")
    assert coco.name_of(1) == "person"
    assert coco.original_ids[-1] == 200
    assert coco.color_table()[1].tolist() == [220, 20, 60]
    city = dataset_info.load_dataset_info("cityscapes_panoptic")
    assert city.channel_ids == (*range(11, 19), *range(11))
    assert city.name_of(0) == "road"
    assert dataset_info.load_dataset_info("ade20k_panoptic").thing_ids[:3] == (8, 9, 11)


def test_round_trip(tmp_path):
    for name in dataset_info.known_datasets():
        info = dataset_info.load_dataset_info(name)
        path = tmp_path / "new" / f"{name}.json"
        dataset_info.save_dataset_info(info, str(path))
        assert dataset_info.load_dataset_info(str(path)) == info
        assert [p.name for p in path.parent.glob(".*")] == []


def test_classes_that_are_left_out_are_written_where_there_are_some(tmp_path):
    info = dataset_info.load_dataset_info("shapes")
    assert "void_ids" not in dataset_info.format_dataset_info(info)
    path = tmp_path / "info.json"
    changed = dataclasses.replace(info, void_ids=(11, 40))
    dataset_info.save_dataset_info(changed, str(path))
    assert dataset_info.load_dataset_info(str(path)) == changed


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"coco_panoptic.*shapes.*'nonsense'"):
        dataset_info.load_dataset_info("nonsense")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("ignore_label", 3, "must not be the id of a class"),
        ("num_classes", 5, r"0\.\.num_classes-1"),
        ("label_divisor", 1, "at least 2"),
        ("class_ids", (1,) * 10, "distinct"),
        ("colors", ((0, 0, 256),) * 10, "0..255"),
        ("void_ids", (20, 3), r"`void_ids` must be .* none of the class ids; received \[20, 3\]"),
        ("void_ids", (-1,), r"`void_ids` must be at least 0"),
    ],
)
def test_contradictions(tmp_path, field, value, match):
    info = dataset_info.load_dataset_info("shapes")
    path = tmp_path / "info.json"
    dataset_info.save_dataset_info(dataclasses.replace(info, **{field: value}), str(path))
    with pytest.raises(ValueError, match=match):
        dataset_info.load_dataset_info(str(path))


def test_broken_files(tmp_path):
    path = tmp_path / "info.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        dataset_info.load_dataset_info(str(path))
    path.write_text(json.dumps({"name": "x", "classes": [{"id": 1}]}))
    with pytest.raises(ValueError, match="lacks a field"):
        dataset_info.load_dataset_info(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": float("inf")}, "has one of the wrong type"),
        ({"num_classes": 10**9}, r"`num_classes` must be in 1\.\.65536; received 1000000000"),
        ({"label_divisor": 2**30}, "must fit into 32 bits"),
        ({"ignore_label": -(2**40)}, "must fit into 32 bits"),
        ({"void_ids": [2**40]}, "must fit into 32 bits"),
        ({"name": ["a"]}, "has one of the wrong type"),
        ({"classes": 5}, "has one of the wrong type"),
    ],
)
def test_numbers_that_no_map_can_hold_are_refused(changes, message):
    content = json.loads(dataset_info.format_dataset_info(dataset_info.load_dataset_info("shapes")))
    with pytest.raises(ValueError, match=f"given.json.*{message}"):
        dataset_info.parse_dataset_info({**content, **changes}, source="given.json")


def test_files_beyond_the_limits_are_named(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text("[" * 100_000)
    with pytest.raises(
        ValueError, match=r"classes\.json cannot be read: it is nested too deeply\.$"
    ):
        dataset_info.load_dataset_info(str(path))
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        ValueError, match=r"classes\.json cannot be read: it has more than the 16777"
    ):
        dataset_info.load_dataset_info(str(path))


def test_classes_without_a_color_get_distinct_ones():
    content = json.loads(dataset_info.format_dataset_info(dataset_info.load_dataset_info("shapes")))
    for entry in content["classes"][1:]:
        del entry["color"]
    info = dataset_info.parse_dataset_info(content, source="test")
    assert info.colors[0] == tuple(content["classes"][0]["color"])
    assert info.colors[1:] == tuple(distinct_colors(len(info.colors))[1:])

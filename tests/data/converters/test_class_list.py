from __future__ import annotations

import json

import pytest

from kmax_tf.data import dataset_info
from kmax_tf.data.converters.class_list import read_class_list
from kmax_tf.palette import distinct_colors

CATEGORIES = [
    {"id": 300, "name": "空", "color": [70, 130, 180]},
    {"id": 7, "name": "straße", "color": [128, 64, 128], "isthing": 0},
    {"id": 40000, "name": "Ель", "isthing": 1},
]


def read(tmp_path, content):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_class_list(path, name="mine")


def test_categories_with_gaps(tmp_path):
    classes = read(tmp_path, {"categories": CATEGORIES, "ignore": 255})
    info = classes.info
    assert (info.name, info.num_classes, info.ignore_label) == ("mine", 4, 0)
    assert info.class_ids == (1, 2, 3)
    assert info.original_ids == (7, 300, 40000)
    assert info.names == ("straße", "空", "Ель")
    assert info.colors[:2] == ((128, 64, 128), (70, 130, 180))
    assert info.colors[2] == distinct_colors(3)[2]
    assert info.is_thing == (False, False, False)
    assert classes.ignored_ids == (255,)
    assert classes.things == ("Ель",)
    assert read(tmp_path, CATEGORIES).info == info


def test_only_ids_are_required(tmp_path):
    info = read(tmp_path, {"categories": [{"id": 0}, {"id": 9}]}).info
    assert info.names == ("0", "9")
    assert (info.original_ids, info.class_ids) == ((0, 9), (1, 2))
    assert info.colors == tuple(distinct_colors(2))


def test_a_complete_description_keeps_its_ids(tmp_path):
    for name in ("cityscapes_panoptic", "ade20k_panoptic", "shapes"):
        known = dataset_info.load_dataset_info(name)
        path = tmp_path / "dataset_info.json"
        dataset_info.save_dataset_info(known, str(path))
        classes = read_class_list(path, name="mine")
        stuff = tuple(False for _ in known.names)
        thing_names = [n for n, thing in zip(known.names, known.is_thing) if thing]
        assert sorted(classes.things) == sorted(thing_names)
        assert classes.info == known.__class__(**{**vars(known), "is_thing": stuff})


def test_a_description_with_gaps_is_numbered_anew(tmp_path):
    classes = [{"id": 30, "name": "b"}, {"id": 4, "name": "a", "is_thing": True}]
    content = {"name": "gaps", "num_classes": 31, "ignore_label": 0, "label_divisor": 1000}
    read_classes = read(tmp_path, {**content, "classes": classes})
    info = read_classes.info
    assert (info.name, info.num_classes, info.class_ids) == ("gaps", 3, (1, 2))
    assert (info.original_ids, info.names) == ((4, 30), ("a", "b"))
    assert (read_classes.things, read_classes.ignored_ids) == (("a",), (0,))


def test_pixel_values_are_the_original_ids(tmp_path):
    classes = [{"id": 1, "original_id": 24, "name": "b"}, {"id": 2, "original_id": 7, "name": "a"}]
    info = read(tmp_path, {"classes": classes}).info
    assert (info.original_ids, info.names, info.class_ids) == ((7, 24), ("a", "b"), (1, 2))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({}, "must hold a list of `categories`"),
        ({"categories": []}, "must hold a list of `categories`"),
        ("text", "must hold a list of `categories`"),
        ({"categories": {"7": "road"}}, "`categories` must be a list; it is a dict"),
        ({"categories": [{"name": "a"}]}, "must have `id`, an integer; it lacks it"),
        ({"categories": [{"id": "7"}]}, "must have `id`, an integer; it has '7'"),
        ({"categories": [{"id": 7}, {"id": 7}]}, r"ids must be distinct; \[7\] are there twice"),
        ({"categories": [{"id": 70000}]}, r"integers in 0\.\.65535; received 70000"),
        ({"categories": [{"id": -1}]}, "received -1"),
        ({"categories": [{"id": 7}], "ignore": 7}, r"`ignore` must not be.*\[7\] are"),
        ({"categories": [{"id": 7}], "ignore": "x"}, "`ignore` must be pixel values"),
        ({"categories": [{"id": 7, "color": "red"}]}, "`color` of class 7 must be three.*'red'"),
        ({"classes": [{"id": 7, "original_id": None}]}, "`original_id` must be an integer"),
    ],
)
def test_one_clear_sentence(tmp_path, content, match):
    with pytest.raises(ValueError, match=match) as caught:
        read(tmp_path, content)
    assert "classes.json" in str(caught.value)


def test_the_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Class file .*none\.json does not exist"):
        read_class_list(tmp_path / "none.json", name="mine")
    (tmp_path / "classes.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"Class file .*classes\.json cannot be read: it is not valid"
    ):
        read_class_list(tmp_path / "classes.json", name="mine")

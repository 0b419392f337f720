from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import records, schema
from kmax_tf.data.converters import coco
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters import toy_coco


def convert(root, **changes):
    output = root / "tfrecords"
    return coco.convert_coco_format(coco.find_sources(str(root)), output_dir=str(output), **changes)


def read(pattern):
    for serialized in tf.data.TFRecordDataset(records.list_files([str(pattern)])):
        yield schema.parse_record(serialized, decode_label=True)


def test_converts_a_hand_made_folder(tmp_path):
    toy_coco.write(tmp_path, "train", 3)
    toy_coco.write(tmp_path, "val", 1)
    reports = convert(tmp_path)
    assert [(r["split"], r["images"], r["shards"]) for r in reports] == [
        ("train", 3, 1),
        ("val", 1, 1),
    ]
    assert reports[0]["statistics"] == {
        "crowd/cat": 3,
        "segments/car": 6,
        "segments/road": 3,
    }
    parsed = list(read(tmp_path / "tfrecords" / "train-*"))
    assert [r.file_name.numpy().decode() for r in parsed] == ["train_0", "train_1", "train_2"]
    for index, record in enumerate(parsed):
        np.testing.assert_array_equal(schema.decode_label(record), toy_coco.PANOPTIC)
        image = schema.decode_image(record).numpy().astype(int)
        assert np.abs(image - 20 * index).max() <= 2

    info = load_dataset_info(str(tmp_path / "tfrecords" / "dataset_info.json"))
    assert info.original_ids == (3, 17, 90)
    assert info.class_ids == (1, 2, 3)
    assert info.names == ("car", "cat", "road")
    assert info.is_thing == (True, True, False)
    assert info.colors[0] == (0, 0, 142)
    assert (info.num_classes, info.ignore_label, info.label_divisor) == (4, 0, 256)


def test_given_classes(tmp_path):
    toy_coco.write(tmp_path)
    (report,) = convert(tmp_path, info=load_dataset_info("coco_panoptic"), num_shards=2)
    assert report["shards"] == 2
    assert report["statistics"]["segments/car"] == 6
    (record, *_) = read(tmp_path / "tfrecords" / "train-*")
    assert 149 not in np.unique(schema.decode_label(record)) // 256
    assert (schema.decode_label(record).numpy()[0, 0]) == 3 * 256 + 1


def test_divisor_grows_with_the_number_of_instances(tmp_path):
    toy_coco.write(tmp_path)
    sources = coco.find_sources(str(tmp_path))
    segments = [{"id": i, "category_id": 3} for i in range(1, 200)]
    content = {
        "categories": toy_coco.CATEGORIES,
        "annotations": [{"segments_info": segments}],
    }
    info = coco.info_from_categories([content], sources, name="toy")
    assert info.label_divisor == 512


def test_splits_converted_apart_share_their_classes(tmp_path):
    toy_coco.write(tmp_path, "train")
    toy_coco.write(tmp_path, "val")
    output = str(tmp_path / "tfrecords")
    train, val = coco.find_sources(str(tmp_path))
    coco.convert_coco_format([train], output_dir=output)
    coco.convert_coco_format([val], output_dir=output)
    toy_coco.edit(tmp_path, "val", categories=[*toy_coco.CATEGORIES, {"id": 99, "name": "x"}])
    with pytest.raises(ValueError, match="describes other classes"):
        coco.convert_coco_format([val], output_dir=output)
    with pytest.raises(ValueError, match="they differ"):
        coco.convert_coco_format([train, val], output_dir=output)


def test_image_without_annotation_is_left_out_and_reported(tmp_path):
    toy_coco.write(tmp_path)
    annotations = json.loads((tmp_path / "panoptic_train.json").read_text())["annotations"]
    toy_coco.edit(tmp_path, "train", annotations=annotations[1:])
    (report,) = convert(tmp_path)
    assert report["images"] == 2
    (skipped,) = report["skipped"]
    assert skipped["reason"] == "image without annotation"
    assert skipped["image"].endswith("images/train_0.jpg")
    with pytest.raises(ValueError, match=r"train_0\.jpg has no annotation in"):
        convert(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("problem", "match"),
    [
        ("no_json", "must hold panoptic_<split>.json"),
        ("broken_json", "not valid JSON"),
        ("other_json", r"lacks \['annotations', 'categories'\]"),
        ("no_png", r"train_1\.png cannot be read"),
        ("no_image", r"train_1\.jpg cannot be read"),
        ("other_size", r"train_1\.png must have the size of its image.*4x6; it is 2x2"),
        ("category", r"train_0\.png: segment 9 has category 4, .* 3 known ones, 3\.\.90"),
    ],
)
def test_one_clear_sentence(tmp_path, problem, match):
    toy_coco.write(tmp_path)
    path = tmp_path / "panoptic_train.json"
    if problem == "no_json":
        path.unlink()
    elif problem == "broken_json":
        path.write_text("{")
    elif problem == "other_json":
        path.write_text('{"images": []}')
    elif problem == "no_png":
        (tmp_path / "panoptic_train" / "train_1.png").unlink()
    elif problem == "no_image":
        (tmp_path / "images" / "train_1.jpg").unlink()
    elif problem == "other_size":
        from kmax_tf.data.converters import source_files

        png = tmp_path / "panoptic_train" / "train_1.png"
        source_files.write_segment_ids(np.zeros((2, 2), int), png)
    else:
        content = json.loads(path.read_text())
        content["annotations"][0]["segments_info"][0]["category_id"] = 4
        path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=match):
        convert(tmp_path, strict=True)


@pytest.fixture
def official(tmp_path):
    """The toy images in the layout of the COCO download, with COCO's own categories."""
    toy_coco.write(tmp_path / "toy", "val", 2)
    root = tmp_path / "coco"
    annotations = root / "annotations"
    annotations.mkdir(parents=True)
    shutil.copytree(tmp_path / "toy" / "images", root / "val2017")
    shutil.copytree(tmp_path / "toy" / "panoptic_val", annotations / "panoptic_val2017")
    shutil.copy(tmp_path / "toy" / "panoptic_val.json", annotations / "panoptic_val2017.json")
    path = annotations / "panoptic_val2017.json"
    path.write_text(path.read_text().replace('"category_id": 90', '"category_id": 149'))
    return root


def test_coco_as_downloaded(official, tmp_path):
    output = tmp_path / "out"
    arguments = {"input_dir": str(official), "output_dir": str(output)}
    (report,) = coco.convert_coco_panoptic(split="val", **arguments)
    assert sorted(p.name for p in output.glob("val-*")) == [
        "val-00000-of-00002.tfrecord",
        "val-00001-of-00002.tfrecord",
    ]
    assert report["statistics"]["segments/road"] == 2
    assert report["warnings"] == ["The official val split has 5000 images; there are 2."]
    record = next(read(output / "val-*"))
    road = load_dataset_info("coco_panoptic").names.index("road") + 1
    expected = {257: 3 * 256 + 1, 258: 3 * 256 + 2, 512: 17 * 256, 768: road * 256, 0: 0}
    expected[512] = (load_dataset_info("coco_panoptic").original_ids.index(17) + 1) * 256
    table = np.vectorize(expected.get)(toy_coco.PANOPTIC)
    np.testing.assert_array_equal(schema.decode_label(record), table)
    assert load_dataset_info(str(output / "dataset_info.json")).name == "coco_panoptic"
    with pytest.raises(ValueError, match=r"train images as .*train2017/\*\.jpg; found none"):
        coco.convert_coco_panoptic(split="all", **arguments)


def test_coco_test_images_have_no_labels(official, tmp_path):
    (official / "val2017").rename(official / "test2017")
    arguments = {"input_dir": str(official), "output_dir": str(tmp_path / "out")}
    coco.convert_coco_panoptic(split="test", num_shards=1, **arguments)
    (path,) = (tmp_path / "out").glob("test-*")
    for serialized in tf.data.TFRecordDataset(str(path)):
        keys = tf.train.Example.FromString(serialized.numpy()).features.feature
        assert schema.LABEL not in keys


def test_two_images_of_one_name_are_refused(tmp_path):
    toy_coco.write(tmp_path)
    content = json.loads((tmp_path / "panoptic_train.json").read_text())
    for image, name in zip(content["images"], ("a/1.jpg", "b/1.jpg")):
        image["file_name"] = name
    toy_coco.edit(tmp_path, "train", **content)
    with pytest.raises(ValueError, match=r"a/1\.jpg and b/1\.jpg must differ"):
        convert(tmp_path)


@pytest.mark.parametrize("file", ["images/train_1.jpg", "panoptic_train/train_1.png"])
def test_replaced_files_are_converted_again(tmp_path, file):
    toy_coco.write(tmp_path)
    convert(tmp_path, num_shards=3)
    assert convert(tmp_path, num_shards=3)[0]["shards_kept"] == 3
    state = (tmp_path / file).stat()
    os.utime(tmp_path / file, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))
    assert convert(tmp_path, num_shards=3)[0]["shards_kept"] == 2


@pytest.mark.parametrize("name", ["../train_1.jpg", "/etc/passwd", "a/../../b.png", ""])
@pytest.mark.parametrize("part", ["images", "annotations"])
def test_files_outside_the_folder_are_refused(tmp_path, part, name):
    toy_coco.write(tmp_path, "train", 3)
    entries = json.loads((tmp_path / "panoptic_train.json").read_text())[part]
    entries[1]["file_name"] = name
    toy_coco.edit(tmp_path, "train", **{part: entries})
    kind = part[:-1]
    expected = (
        rf"^`file_name` of an {kind} in .*train\.json must be a path inside .*`\.\.`; received"
    )
    with pytest.raises(ValueError, match=expected):
        convert(tmp_path)

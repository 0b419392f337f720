from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from kmax_tf.data import records, schema
from kmax_tf.data.converters import coco_instances
from kmax_tf.data.dataset_info import load_dataset_info

HEIGHT, WIDTH = 20, 30
CATEGORIES = [{"id": 90, "name": "猫"}, {"id": 11, "name": "größe", "supercategory": "x"}]


def square(left, top, width, height):
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def compressed(box):
    left, top, width, height = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + height, left : left + width] = 1
    counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    return {"size": [HEIGHT, WIDTH], "counts": counts}


# Of one image. 11 is class 1, 90 is class 2.
ANNOTATIONS = [
    {"category_id": 90, "segmentation": square(2, 2, 4, 4)},  # on top of the next
    {"category_id": 90, "segmentation": square(0, 0, 12, 10)},
    {"category_id": 11, "segmentation": compressed((10, 5, 6, 6))},  # smaller than the one before
    {
        "category_id": 11,
        "iscrowd": 1,
        "segmentation": {"size": [20, 30], "counts": [280, 3, 17, 300]},
    },
    {"category_id": 11, "segmentation": []},
    {"category_id": 77, "segmentation": square(0, 0, 2, 2)},
]


def expected_map():
    panoptic = np.zeros((HEIGHT, WIDTH), np.int32)
    flat = np.repeat([0, 1, 0, 1], [280, 3, 17, 300]).reshape(WIDTH, HEIGHT).T
    panoptic[flat > 0] = 256
    panoptic[:10, :12] = 2 * 256 + 2
    panoptic[5:11, 10:16] = 256 + 1
    panoptic[2:6, 2:6] = 2 * 256 + 1
    return panoptic


def write(root, annotations=ANNOTATIONS, count=2, **fields):
    (root / "images").mkdir(parents=True, exist_ok=True)
    images, entries = [], []
    for index in range(count):
        name = f"bild_{index}.jpg"
        pixels = np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)
        Image.fromarray(pixels).save(root / "images" / name)
        images.append({"id": 5 + index, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for annotation in annotations:
            entries.append({"id": 100 + len(entries), "image_id": 5 + index, **annotation})
    content = {"images": images, "annotations": entries, "categories": CATEGORIES, **fields}
    (root / "instances_train.json").write_text(json.dumps(content))


def convert(root, **changes):
    arguments = {
        "images_dir": str(root / "images"),
        "annotations": str(root / "instances_train.json"),
        "output_dir": str(root / "out"),
        "split": "train",
        **changes,
    }
    return coco_instances.convert_coco_instances(**arguments)


def read(root):
    """Label maps in the order of the records."""
    files = records.list_files([str(root / "out" / "train-*")])
    for serialized in tf.data.TFRecordDataset(files):
        yield schema.decode_label(schema.parse_record(serialized, decode_label=True)).numpy()


def test_every_pixel(tmp_path):
    write(tmp_path)
    report = convert(tmp_path)
    assert (report["images"], report["skipped"]) == (2, [])
    assert report["statistics"] == {
        "crowd/größe": 2,
        "dropped/annotation of an unknown category": 2,
        "dropped/annotation without pixels": 2,
        "segments/größe": 2,
        "segments/猫": 4,
    }
    for panoptic in read(tmp_path):
        np.testing.assert_array_equal(panoptic, expected_map())
    info = load_dataset_info(str(tmp_path / "out" / "dataset_info.json"))
    assert (info.original_ids, info.class_ids) == ((11, 90), (1, 2))
    assert info.names == ("größe", "猫")
    assert (info.stuff_ids, info.label_divisor, info.num_classes) == ((), 256, 3)
    assert convert(tmp_path)["shards_kept"] == 1


def test_masks_are_those_of_pycocotools(tmp_path):
    """Random polygons, painted by hand from pycocotools' own masks, the largest first."""
    generator = np.random.default_rng(3)
    polygons = [generator.uniform(-3, 28, 12).round(1).tolist() for _ in range(5)]
    annotations = [{"category_id": 11, "segmentation": [polygon]} for polygon in polygons]
    write(tmp_path, annotations, count=1)
    convert(tmp_path)
    masks = [
        coco_mask.decode(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))[..., 0] > 0
        for polygon in polygons
    ]
    expected = np.zeros((HEIGHT, WIDTH), np.int32)
    for index in sorted(range(5), key=lambda i: -masks[i].sum()):
        expected[masks[index]] = 256 + index + 1
    assert len(np.unique(expected)) == 6  # all are visible, so none loses its number
    np.testing.assert_array_equal(next(read(tmp_path)), expected)


def test_covered_instances_are_dropped_and_leave_no_gap(tmp_path):
    boxes = [(0, 0, 4, 4), (0, 0, 2, 4), (2, 0, 2, 4), (10, 10, 3, 3), (10, 10, 3, 3)]
    write(tmp_path, [{"category_id": 11, "segmentation": square(*box)} for box in boxes], count=1)
    report = convert(tmp_path)
    assert report["statistics"] == {
        "dropped/annotation covered by smaller ones": 2,
        "segments/größe": 3,
    }
    panoptic = next(read(tmp_path))
    assert [panoptic[0, 0], panoptic[0, 2], panoptic[11, 11]] == [257, 258, 259]


def test_crowd_never_hides_an_instance(tmp_path):
    crowd = {"category_id": 90, "iscrowd": 1, "segmentation": square(3, 3, 2, 2)}
    write(tmp_path, [{"category_id": 11, "segmentation": square(0, 0, 8, 8)}, crowd], count=1)
    assert convert(tmp_path)["statistics"] == {
        "dropped/annotation covered by smaller ones": 1,
        "segments/größe": 1,
    }
    assert set(np.unique(next(read(tmp_path)))) == {0, 257}


def test_images_without_annotations_are_void(tmp_path):
    write(tmp_path, [], count=2)
    report = convert(tmp_path)
    assert (report["images"], report["statistics"]) == (2, {})
    for panoptic in read(tmp_path):
        assert (panoptic == 0).all()


def test_divisor_grows_with_the_number_of_instances(tmp_path):
    boxes = [(x, y, 1, 1) for x in range(28) for y in range(10)]
    write(tmp_path, [{"category_id": 11, "segmentation": square(*box)} for box in boxes], count=1)
    convert(tmp_path)
    info = load_dataset_info(str(tmp_path / "out" / "dataset_info.json"))
    assert info.label_divisor == 1024
    panoptic = next(read(tmp_path))
    np.testing.assert_array_equal(np.unique(panoptic), [0, *range(1025, 1024 + 281)])


def test_annotations_of_unknown_images_are_counted(tmp_path):
    entry = {"image_id": 9, "category_id": 11, "segmentation": []}
    write(tmp_path, annotations=[entry])
    content = json.loads((tmp_path / "instances_train.json").read_text())
    assert content["annotations"][0]["image_id"] == 9
    statistics = convert(tmp_path)["statistics"]
    assert statistics == {"dropped/annotation of an unknown image": 2}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"segmentation": [[1, 2, 3]]}, r"Annotation 101 of image .*bild_1\.jpg: every polygon"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, r"Annotation 101 .*\[20, 30\]"),
        (None, r"bild_1\.jpg must have the size that its annotations state, 20x30; it is 2x3"),
    ],
)
def test_unusable_images_are_skipped_by_name(tmp_path, change, match):
    write(tmp_path, ANNOTATIONS[:1])
    path = tmp_path / "instances_train.json"
    content = json.loads(path.read_text())
    if change is None:
        Image.new("RGB", (3, 2)).save(tmp_path / "images" / "bild_1.jpg")
    else:
        content["annotations"][1].update(change)
    path.write_text(json.dumps(content))
    report = convert(tmp_path)
    assert report["images"] == 1
    assert [skip["image"] for skip in report["skipped"]] == [str(tmp_path / "images/bild_1.jpg")]
    with pytest.raises(ValueError, match=match):
        convert(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"categories": "x"}, "`categories` must be a list"),
        ({"categories": []}, "must hold at least one class"),
        ({"categories": [{"id": 1}, {"id": 1}]}, "category 1 is there twice"),
        ({"images": [{"id": 1}]}, "must have `file_name`, text; it lacks it"),
        ({"images": [{"id": i, "file_name": "a.jpg"} for i in (1, 2)]}, "differ in their names"),
        ({"images": [{"id": 1, "file_name": f} for f in "ab"]}, "differ in their ids"),
        ({"annotations": [{"image_id": 1}]}, "must have `category_id`, an integer"),
        ({"annotations": [{"segments_info": []}]}, "is in COCO panoptic format"),
    ],
)
def test_one_clear_sentence(tmp_path, fields, match):
    write(tmp_path, **fields)
    with pytest.raises(ValueError, match=match) as caught:
        convert(tmp_path)
    assert "instances_train.json" in str(caught.value)


def test_the_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"instances_train\.json does not exist"):
        convert(tmp_path)
    (tmp_path / "instances_train.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"instance format, .* lacks \['annotations', 'categor"):
        convert(tmp_path)


@pytest.mark.parametrize("name", ["../bild_0.jpg", "/etc/passwd"])
def test_files_outside_the_folder_are_refused(tmp_path, name):
    write(tmp_path, count=1)
    content = json.loads((tmp_path / "instances_train.json").read_text())
    content["images"][0]["file_name"] = name
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    expected = r"^`file_name` of an image in .*instances_train\.json must be a path inside"
    with pytest.raises(ValueError, match=expected):
        convert(tmp_path)

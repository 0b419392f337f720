from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from kmax_tf.data import schema
from kmax_tf.data.converters.cityscapes import convert_cityscapes_panoptic
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters import official

INFO = load_dataset_info("cityscapes_panoptic")
NAMES = {"city0": "aachen_000000_000019", "city1": "bochum_000001_000313"}
TO_LABEL_ID = {**dict(zip(INFO.class_ids, INFO.original_ids))}


def image_path(root: pathlib.Path, split: str, name: str) -> pathlib.Path:
    city = name.split("_")[0]
    return root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"


@pytest.fixture
def cases(golden):
    return {name: official.load_case(golden, case) for case, name in NAMES.items()}


@pytest.fixture
def root(tmp_path, cases):
    """Both golden cases as the training split of a download with panoptic annotations."""
    folder = tmp_path / "cityscapes"
    annotations = []
    stem = folder / "gtFine" / "cityscapes_panoptic_train_trainId"
    for seed, (name, case) in enumerate(cases.items()):
        official.save(image_path(folder, "train", name), official.pixels(case, seed))
        official.save(stem / f"{name}_gtFine_panoptic.png", case.colors)
        annotations.append(
            {
                "image_id": name,
                "file_name": f"{name}_gtFine_panoptic.png",
                "segments_info": case.segments,
            }
        )
    official.save_json(stem.with_suffix(".json"), annotations)
    return folder


def convert(root, split="train", **changes):
    output = root.parent / "out"
    return convert_cityscapes_panoptic(
        input_dir=str(root), output_dir=str(output), split=split, **changes
    )


def test_goes_through_and_back(root, cases):
    (report,) = convert(root)
    assert (report["images"], report["shards"], report["skipped"]) == (2, 2, [])
    assert report["warnings"] == ["The official train split has 2975 images; there are 2."]
    found = official.read(root.parent / "out", "train")
    assert list(found) == list(NAMES.values())
    classes = {**{i: i for i in INFO.class_ids}, 255: 255}
    for seed, (name, case) in enumerate(cases.items()):
        label = schema.decode_label(found[name]).numpy()
        np.testing.assert_array_equal(label, case.label)
        official.check_segments(case, label, INFO, classes)
        np.testing.assert_array_equal(schema.decode_image(found[name]), official.pixels(case, seed))
    assert load_dataset_info(str(root.parent / "out" / "dataset_info.json")) == INFO


def test_annotations_with_label_ids_give_the_same(root, cases):
    """What csCreatePanopticImgs writes without `--use-train-id`: void segments are not in it."""
    folder = root / "gtFine"
    (folder / "cityscapes_panoptic_train_trainId").rename(folder / "cityscapes_panoptic_train")
    path = folder / "cityscapes_panoptic_train_trainId.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["segments_info"] = [
            {**segment, "category_id": TO_LABEL_ID[segment["category_id"]]}
            for segment in annotation["segments_info"]
            if segment["category_id"] in TO_LABEL_ID
        ]
    (folder / "cityscapes_panoptic_train.json").write_text(json.dumps(content))
    path.unlink()
    convert(root)
    found = official.read(root.parent / "out", "train")
    for name, case in cases.items():
        np.testing.assert_array_equal(schema.decode_label(found[name]), case.label)


def test_test_images_have_no_labels(root):
    (root / "leftImg8bit" / "train").rename(root / "leftImg8bit" / "test")
    (report,) = convert(root, "test")
    assert list(official.read(root.parent / "out", "test")) == list(NAMES.values())
    assert report["statistics"] == {}


def test_all_needs_both_splits(root):
    with pytest.raises(ValueError, match=r"val images as .*/val/<city>/\*_leftImg8bit\.png"):
        convert(root, "all")


def test_missing_annotations_name_the_script(root):
    (root / "gtFine" / "cityscapes_panoptic_train_trainId.json").unlink()
    with pytest.raises(ValueError, match="csCreatePanopticImgs --use-train-id"):
        convert(root)


def test_a_wrong_area_is_left_out_or_an_error(root):
    path = root / "gtFine" / "cityscapes_panoptic_train_trainId.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"][0]["area"] += 1
    path.write_text(json.dumps(content))
    (report,) = convert(root)
    (skipped,) = report["skipped"]
    assert "aachen_000000_000019_leftImg8bit.png" in skipped["image"]
    assert skipped["reason"] == "stated area that is not the number of pixels"
    assert list(official.read(root.parent / "out", "train")) == ["bochum_000001_000313"]
    with pytest.raises(ValueError, match="states an area of"):
        convert(root, strict=True)

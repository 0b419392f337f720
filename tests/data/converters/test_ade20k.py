from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kmax_tf.data import schema
from kmax_tf.data.converters.ade20k import convert_ade20k_panoptic
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters import official

INFO = load_dataset_info("ade20k_panoptic")
NAMES = {"ade0": "ADE_val_00000001", "ade1": "ADE_val_00000002"}


@pytest.fixture
def cases(golden):
    return {name: official.load_case(golden, case) for case, name in NAMES.items()}


@pytest.fixture
def root(tmp_path, cases):
    """Both golden cases as the validation split."""
    folder = tmp_path / "ade20k"
    annotations = []
    for seed, (name, case) in enumerate(cases.items()):
        image = folder / "images" / "validation" / f"{name}.jpg"
        official.save(image, official.pixels(case, seed))
        official.save(folder / "ade20k_panoptic_val" / f"{name}.png", case.colors)
        annotations.append(
            {"image_id": name, "file_name": f"{name}.png", "segments_info": case.segments}
        )
    official.save_json(folder / "ade20k_panoptic_val.json", annotations)
    return folder


def convert(root, input_dir=None, split="val", **changes):
    return convert_ade20k_panoptic(
        input_dir=str(input_dir or root),
        output_dir=str(root.parent / "out"),
        split=split,
        **changes,
    )


def test_goes_through_and_back(root, cases):
    (report,) = convert(root)
    assert (report["images"], report["shards"], report["skipped"]) == (2, 2, [])
    assert report["warnings"] == ["The official val split has 2000 images; there are 2."]
    found = official.read(root.parent / "out", "val")
    assert list(found) == list(NAMES.values())
    classes = {**{category: category + 1 for category in range(150)}, 255: 0}
    for name, case in cases.items():
        label = schema.decode_label(found[name]).numpy()
        np.testing.assert_array_equal(label, case.label)
        official.check_segments(case, label, INFO, classes)
        image = root / "images" / "validation" / f"{name}.jpg"
        assert found[name].image.numpy() == image.read_bytes()
    assert report["statistics"]["dropped/segment of class void"] == sum(
        segment["category_id"] == 255 for case in cases.values() for segment in case.segments
    )


def test_the_folder_of_the_download(root):
    download = root.parent / "download"
    download.mkdir()
    root.rename(download / "ADEChallengeData2016")
    convert(root, download)
    assert list(official.read(root.parent / "out", "val")) == list(NAMES.values())


def test_categories_of_the_description():
    assert INFO.original_ids == tuple(range(150))
    assert INFO.class_ids == tuple(range(1, 151))


def test_areas_are_not_compared(root):
    path = root / "ade20k_panoptic_val.json"
    content = json.loads(path.read_text())
    for segment in content["annotations"][0]["segments_info"]:
        segment["area"] += 1
    path.write_text(json.dumps(content))
    assert convert(root)[0]["skipped"] == []


def test_missing_files_are_one_sentence(root):
    (root / "ade20k_panoptic_val.json").unlink()
    with pytest.raises(ValueError, match="prepare_ade20k_pan_seg"):
        convert(root)
    with pytest.raises(ValueError, match=r"train images as .*images/training/\*\.jpg"):
        convert(root, split="all")


def test_grey_images_are_converted(root, cases):
    name = "ADE_val_00000002"
    path = root / "images" / "validation" / f"{name}.jpg"
    Image.open(path).convert("L").save(path)
    (report,) = convert(root)
    assert report["skipped"] == []
    image = schema.decode_image(official.read(root.parent / "out", "val")[name]).numpy()
    assert image.shape == cases[name].colors.shape
    assert (image[..., :1] == image).all()

"""Every format is decoded again, pixel by pixel; what it cannot hold is refused."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import pathlib
from typing import Any, Dict

import numpy as np
import pytest
from PIL import Image

from evaluation.submissions import (
    FORMATS,
    evaluation_ids,
    open_submission,
    require_format,
    void_evaluation_id,
)
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.structures import DatasetInfo

CITYSCAPES = load_dataset_info("cityscapes_panoptic")
ADE20K = load_dataset_info("ade20k_panoptic")
COCO = load_dataset_info("coco_panoptic")
DATA_SETS = [CITYSCAPES, ADE20K, COCO]
NAME = "frankfurt_000000_000294"


def predict(info: DatasetInfo, *, largest_instance: int = 200, seed: int = 0) -> Dict[str, Any]:
    """Blocks of stuff, things and void; a semantic map that disagrees; scores of the things."""
    random = np.random.RandomState(seed)
    classes = random.choice([*info.class_ids, info.ignore_label], size=(8, 12))
    classes[0, 0] = info.ignore_label
    instances = random.randint(1, largest_instance + 1, size=classes.shape)
    classes[1, 1], instances[1, 1] = info.thing_ids[-1], largest_instance
    instances[~np.isin(classes, info.thing_ids)] = 0
    panoptic = np.kron(classes * info.label_divisor + instances, np.ones((4, 5), int))
    semantic = np.kron(random.choice(info.class_ids, size=(8, 12)), np.ones((4, 5), int))
    ids = [int(i) for i in np.unique(panoptic) if i // info.label_divisor in info.thing_ids]
    scores = dict(zip(ids, random.rand(len(ids)).tolist()))
    return {
        "name": NAME,
        "panoptic": panoptic.astype(np.int32),
        "semantic": semantic.astype(np.int32),
        "scores": scores,
    }


def read(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def back_to_panoptic(classes: np.ndarray, instances: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """The way back, from the table of the data set, class by class."""
    panoptic = np.full(classes.shape, info.void_panoptic)
    for class_id, original_id in zip(info.class_ids, info.original_ids):
        found = classes == original_id
        panoptic[found] = class_id * info.label_divisor + instances[found]
    return panoptic


@pytest.mark.parametrize("info", DATA_SETS, ids=lambda info: info.name)
def test_two_channel_png(tmp_path, info) -> None:
    image = predict(info)
    open_submission("two_channel_png", tmp_path, info).add(**image)
    classes, instances, blue = np.moveaxis(read(tmp_path / f"raw_panoptic/{NAME}.png"), -1, 0)
    assert not blue.any()
    np.testing.assert_array_equal(back_to_panoptic(classes, instances, info), image["panoptic"])


@pytest.mark.parametrize("info", DATA_SETS, ids=lambda info: info.name)
def test_three_channel_png(tmp_path, info) -> None:
    info = dataclasses.replace(info, label_divisor=100_000)
    image = predict(info, largest_instance=65535)
    open_submission("three_channel_png", tmp_path, info).add(**image)
    classes, high, low = np.moveaxis(read(tmp_path / f"raw_panoptic/{NAME}.png"), -1, 0)
    assert high.max() == low.max() == 255
    restored = back_to_panoptic(classes, 256 * high + low, info)
    np.testing.assert_array_equal(restored, image["panoptic"])


@pytest.mark.parametrize("info", DATA_SETS, ids=lambda info: info.name)
def test_two_channel_numpy_array(tmp_path, info) -> None:
    ids = tuple(1000 * original_id for original_id in info.original_ids)
    info = dataclasses.replace(info, label_divisor=1_000_000, original_ids=ids)
    image = predict(info, largest_instance=999_999)
    open_submission("two_channel_numpy_array", tmp_path, info).add(**image)
    array = np.load(tmp_path / f"raw_panoptic/{NAME}.npy")
    assert array.dtype == np.int32
    restored = back_to_panoptic(array[..., 0], array[..., 1], info)
    np.testing.assert_array_equal(restored, image["panoptic"])
    assert [path.name for path in (tmp_path / "raw_panoptic").iterdir()] == [f"{NAME}.npy"]


@pytest.mark.parametrize("info", DATA_SETS, ids=lambda info: info.name)
def test_semantic_png(tmp_path, info) -> None:
    image = predict(info)
    open_submission("semantic_png", tmp_path, info).add(**image)
    classes = read(tmp_path / f"raw_semantic/{NAME}.png")
    restored = back_to_panoptic(classes, 0 * classes, info) // info.label_divisor
    np.testing.assert_array_equal(restored, image["semantic"])


def test_cityscapes_is_read_as_its_scripts_read_it(tmp_path) -> None:
    image = predict(CITYSCAPES, largest_instance=256)
    open_submission("cityscapes", tmp_path, CITYSCAPES).add(**image)
    # The pixel-level script takes the only PNG of the image below the folder.
    found = _walk(tmp_path / "raw_semantic", f"{NAME}*.png")
    assert len(found) == 1
    labels = read(found[0])
    restored = back_to_panoptic(labels, 0 * labels, CITYSCAPES) // CITYSCAPES.label_divisor
    np.testing.assert_array_equal(restored, image["semantic"])
    # The instance-level script takes the only text file and the masks relative to it.
    found = _walk(tmp_path / "raw_instance", f"{NAME}*.txt")
    assert len(found) == 1
    panoptic, scores = image["panoptic"], dict(image["scores"])
    things = np.isin(panoptic // 1000, CITYSCAPES.thing_ids)
    covered = np.zeros(panoptic.shape, int)
    previous = 1.0
    for line in found[0].read_text().splitlines():
        mask_path, label_id, score = line.split(" ")
        mask = read(found[0].parent / mask_path)
        assert mask.shape == panoptic.shape
        assert set(np.unique(mask)) == {0, 255}
        (segment_id,) = np.unique(panoptic[mask > 0])
        class_id = CITYSCAPES.original_ids.index(int(label_id))
        assert class_id == segment_id // 1000
        assert mask_path == (
            f"instance_masks/{NAME}_class_{label_id}_instance_{segment_id % 1000}.png"
        )
        assert float(score) == pytest.approx(scores.pop(segment_id), abs=1e-6)
        assert float(score) <= previous
        previous = float(score)
        covered += mask > 0
    assert not scores
    np.testing.assert_array_equal(covered, things)


def _walk(folder: pathlib.Path, pattern: str):
    return [
        pathlib.Path(root) / name
        for root, _, names in os.walk(folder)
        for name in fnmatch.filter(names, pattern)
    ]


def test_cityscapes_image_without_instances_has_an_empty_list(tmp_path) -> None:
    empty = np.zeros((4, 5), np.int32)
    submission = open_submission("cityscapes", tmp_path, CITYSCAPES)
    submission.add(name=NAME, panoptic=empty, semantic=empty, scores={})
    assert (tmp_path / f"raw_instance/{NAME}.txt").read_text() == ""
    assert (read(tmp_path / f"raw_semantic/{NAME}.png") == 7).all()
    with pytest.raises(ValueError, match="an image name must have none; received 'two words'"):
        submission.add(name="two words", panoptic=empty, semantic=empty, scores={})


def test_void_is_no_class() -> None:
    assert [void_evaluation_id(info) for info in DATA_SETS] == [0, 255, 0]
    full = dataclasses.replace(ADE20K, original_ids=tuple(range(106, 256)))
    assert void_evaluation_id(full) == 0
    full = dataclasses.replace(ADE20K, original_ids=(0, *range(107, 256)))
    assert void_evaluation_id(full) == 256
    np.testing.assert_array_equal(
        evaluation_ids(np.array([[-1, 0, 18], [19, 255, 7]]), CITYSCAPES), [[0, 7, 33], [0, 0, 20]]
    )


@pytest.mark.parametrize(
    "save_format, largest, fits",
    [
        ("two_channel_png", 256, "three_channel_png"),
        ("two_channel_png", 65536, "two_channel_numpy_array"),
        ("three_channel_png", 65536, "two_channel_numpy_array"),
    ],
)
def test_an_instance_number_that_does_not_fit_is_refused(
    tmp_path, save_format: str, largest: int, fits: str
) -> None:
    info = dataclasses.replace(CITYSCAPES, label_divisor=100_000)
    submission = open_submission(save_format, tmp_path, info)
    with pytest.raises(ValueError, match=f"received {largest} in '{NAME}', which {fits} holds"):
        submission.add(**predict(info, largest_instance=largest))
    assert list(tmp_path.rglob("*.*")) == []
    open_submission(fits, tmp_path, info).add(**predict(info, largest_instance=largest))


@pytest.mark.parametrize("save_format", FORMATS)
def test_a_class_that_does_not_fit_is_refused_at_once(tmp_path, save_format: str) -> None:
    info = dataclasses.replace(CITYSCAPES, original_ids=tuple(range(238, 257)))
    if save_format in ("coco_panoptic", "two_channel_numpy_array"):
        require_format(save_format, info)
        return
    with pytest.raises(ValueError, match=f"{save_format} holds class ids up to 255.*has 256"):
        open_submission(save_format, tmp_path, info)


def test_an_unknown_format_and_a_name_that_comes_twice_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"`save_format` must be one of .*; received 'gif'"):
        open_submission("gif", tmp_path, COCO)
    for save_format in FORMATS[1:]:
        submission = open_submission(save_format, tmp_path, COCO)
        submission.add(**predict(COCO))
        with pytest.raises(ValueError, match=f"received '{NAME}' again"):
            submission.add(**predict(COCO))
    with pytest.raises(ValueError, match="CocoPanopticWriter"):
        open_submission("coco_panoptic", tmp_path, COCO)


@pytest.mark.parametrize("save_format", [f for f in FORMATS if f != "coco_panoptic"])
@pytest.mark.parametrize("name", ["../street", "/tmp/street", "", "a/b"])
def test_names_cannot_leave_the_folder(tmp_path, save_format, name):
    submission = open_submission(save_format, tmp_path / "result", CITYSCAPES)
    with pytest.raises(ValueError, match=r"name"):
        submission.add(**{**predict(CITYSCAPES), "name": name})
    assert list(tmp_path.rglob("*.*")) == []

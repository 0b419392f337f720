"""From a record to the batch: whole samples of the reference, through the input pipeline."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import geometry, pipeline, records, targets
from kmax_tf.structures import DatasetInfo
from tests.data import toy_records
from tests.data.test_targets import golden_info


class Sample(NamedTuple):
    info: DatasetInfo
    arrays: Dict[str, np.ndarray]
    size: int
    options: targets.TargetOptions
    records: records.Records


def load(golden: pathlib.Path, folder: pathlib.Path, name: str) -> Sample:
    """A case, and a record file that holds its image and label."""
    case: Dict[str, Any] = json.loads((golden / "data" / "samples.json").read_text())[name]
    with np.load(golden / "data" / "samples.npz") as file:
        arrays = {key.split("/", 1)[1]: file[key] for key in file if key.startswith(f"{name}/")}
    path = folder / "sample-00000"
    with tf.io.TFRecordWriter(str(path)) as writer:
        image = toy_records.png(arrays["image"])
        size = arrays["label"].shape
        writer.write(toy_records.record(0, size=size, label=arrays["label"], image=image))
    small = case["small_instance"] or {"threshold": 0, "weight": 1.0}
    options = targets.TargetOptions(
        max_things=case["max_thing_id"],
        crowd_as_void=False,
        small_thing_area=small["threshold"],
        small_thing_weight=small["weight"],
    )
    found = records.find_records([str(path)])
    return Sample(golden_info(case), arrays, case["size"], options, found)


def check_targets(made: Dict[str, np.ndarray], sample: Sample, *, flipped: bool = False) -> None:
    """Integers and weights, all exact; rows of things are numbered as they appear."""

    def expected(key: str) -> np.ndarray:
        return sample.arrays[key][:, ::-1] if flipped else sample.arrays[key]

    things = sample.options.max_things
    np.testing.assert_array_equal(made["semantic"], expected("out/semantic_gt"))
    np.testing.assert_array_equal(made["is_crowd"], expected("out/is_crowd_gt"))
    np.testing.assert_array_equal(made["semantic_weight"], expected("out/semantic_loss_weight"))
    rows, wanted = np.asarray(made["segment_id"]), expected("out/thing_id_mask_gt")
    rows = np.where(rows < things, rows, -1)
    pairs = {(int(row), int(want)) for row, want in zip(rows.ravel(), wanted.ravel())}
    assert len(pairs) == len({row for row, _ in pairs}) == len({want for _, want in pairs})
    for row, want in pairs:
        if row >= 0:
            class_id = sample.arrays["out/thing_id_class_gt"][want]
            assert made["segment_class"][row] == class_id


@pytest.mark.parametrize("name", ["targets_train", "targets_small_instance_weight"])
def test_training_samples(golden, tmp_path, name: str) -> None:
    """The reference did not flip; we compare with its mirror image where our draw does."""
    sample = load(golden, tmp_path, name)
    crop = (sample.size, sample.size)
    dataset = pipeline.training_dataset(
        sample.records,
        sample.info,
        options=pipeline.TrainingOptions(
            crop=crop,
            resize=geometry.ResizeOptions(crop, crop, 0),
            scale_bounds=(1.0, 1.0),
            scale_step=0.0,
            policy=None,
            paste=None,
            targets=sample.options,
        ),
        batch_size=1,
        seed=3,
        start_step=0,
        excluded={},
    )
    seen = set()
    for features, made in dataset.take(8):
        image = features["image"][0].numpy()
        flipped = bool(np.abs(image - sample.arrays["out/image"]).max() > 1)
        wanted = sample.arrays["out/image"][:, ::-1] if flipped else sample.arrays["out/image"]
        np.testing.assert_allclose(image, wanted, atol=1e-2)
        one = {key: np.asarray(value)[0] for key, value in made.items()}
        check_targets(one, sample, flipped=flipped)
        if not flipped:
            rows = np.where(one["segment_id"] < sample.options.max_things, one["segment_id"], -1)
            np.testing.assert_array_equal(rows, sample.arrays["out/thing_id_mask_gt"])
        seen.add(flipped)
    assert seen == {False, True}


def test_evaluation_sample(golden, tmp_path) -> None:
    sample = load(golden, tmp_path, "targets_eval")
    crop = (sample.size, sample.size)
    dataset = pipeline.evaluation_dataset(
        sample.records,
        sample.info,
        crop=crop,
        resize=geometry.ResizeOptions(crop, crop, 0),
        target_options=sample.options,
        batch_size=1,
        start_step=0,
        excluded={},
    )
    ((features, made, original),) = list(dataset)
    np.testing.assert_allclose(features["image"][0], sample.arrays["out/image"], atol=1e-2)
    resized = sample.arrays["out/resized_image"]
    np.testing.assert_array_equal(made["valid_size"], [resized.shape[:2]])
    np.testing.assert_allclose(features["image"][0], resized, atol=1e-2)
    check_targets({key: np.asarray(value)[0] for key, value in made.items()}, sample)
    panoptic = original["original_panoptic"][0].numpy()
    np.testing.assert_array_equal(panoptic, sample.arrays["out/panoptic_raw"])
    np.testing.assert_array_equal(original["original_size"][0], sample.arrays["out/size_raw"])
    # What else the reference hands on follows from the map.
    divisor = sample.info.label_divisor
    np.testing.assert_array_equal(panoptic // divisor, sample.arrays["out/semantic_raw"])
    is_thing = np.isin(panoptic // divisor, sample.info.thing_ids)
    crowd = is_thing & (panoptic % divisor == 0)
    np.testing.assert_array_equal(crowd, sample.arrays["out/is_crowd_raw"])

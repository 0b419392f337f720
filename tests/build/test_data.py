from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from kmax_tf.build import data
from kmax_tf.data import copy_paste, photometric
from kmax_tf.data.dataset_info import load_dataset_info, save_dataset_info
from kmax_tf.data.task import Task
from protos import data_pb2, experiment_pb2
from tests.data import toy_records


def options(text="", pattern="nowhere-*"):
    made = text_format.Parse(text, data_pb2.DatasetOptions(dataset_info="shapes"))
    made.file_pattern.append(pattern)
    made.crop_size.extend([] if made.crop_size else [33, 33])
    for name, value in (("batch_size", 2), ("max_thing_id", 5)):
        if not made.HasField(name):
            setattr(made, name, value)
    return made


@pytest.fixture
def pattern(tmp_path):
    return toy_records.write_files(tmp_path, [3, 2])


def test_training(pattern):
    dataset = data.build_dataset(options(pattern=pattern), training=True, seed=1)
    features, targets = next(iter(dataset))
    assert features["image"].shape == (2, 33, 33, 3)
    assert targets["segment_class"].shape == (2, 5 + 4)
    late = data.build_dataset(options(pattern=pattern), training=True, seed=1, start_step=4)
    fifth = next(itertools.islice(dataset, 4, None))
    tf.nest.map_structure(np.testing.assert_array_equal, next(iter(late)), fifth)


def test_evaluation_and_batch_size(pattern):
    batches = list(data.build_dataset(options(pattern=pattern), training=False, batch_size=4))
    assert [len(features["image"]) for features, _, _ in batches] == [4, 1]
    unlabelled = options("decode_groundtruth_label: false", pattern)
    _, targets, _ = next(iter(data.build_dataset(unlabelled, training=False)))
    assert sorted(targets) == ["image_id", "valid_size"]
    with pytest.raises(ValueError, match="decode_groundtruth_label"):
        data.build_dataset(unlabelled, training=True)


@pytest.mark.parametrize(
    ("text", "training", "minimum", "maximum"),
    [
        ("", True, (33, 33), (33, 33)),
        ("crop_size: 33 crop_size: 65", False, (33, 65), (33, 65)),
        ("min_resize_value: 0 max_resize_value: 0", True, None, None),
        ("min_resize_value: 0 max_resize_value: 0", False, None, (33, 33)),
        ("min_resize_value: 17 max_resize_value: [20, 33]", True, (17, 17), (20, 33)),
    ],
)
def test_resize_options(text, training, minimum, maximum):
    made = data.resize_options(options(text), training=training)
    assert made == (minimum, maximum, 0)


def test_training_options():
    made = data.training_options(
        options(
            """
            increase_small_instance_weights: true
            small_instance_threshold: 50
            augmentations {
              min_scale_factor: 0.5
              max_scale_factor: 1.5
              scale_factor_step_size: 0.1
              autoaugment_policy_name: SIMPLE_CLASSIFICATION_POLICY_MAGNITUDE_SCALE_0_2
              panoptic_copy_paste {
                panoptic_copy_paste_scale: 0.5
                panoptic_copy_paste_thing_option: ALL
              }
            }
            """
        ),
        load_dataset_info("shapes"),
    )
    assert made.scale_bounds == (0.5, 1.5)
    assert made.policy == photometric.scaled_policy(0.2)
    choice = copy_paste.Choice
    assert made.paste == (0.5, choice.ALL, choice.RANDOM, choice.NONE)
    assert made.targets == (5, True, 50, 3.0)
    plain = data.training_options(options(), load_dataset_info("shapes"))
    assert (plain.policy, plain.paste, plain.targets.small_thing_area) == (None, None, 0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("crop_size: 33", r"crop_size.*\[33\]"),
        ("max_resize_value: 34", r"max_resize_value.*crop_size.*\[34, 34\]"),
        ("min_resize_value: [1, 2, 3]", "min_resize_value.*one or two"),
        ("resize_factor: -1", "resize_factor"),
        ("augmentations { min_scale_factor: 2 }", "min_scale_factor"),
        ("max_thing_id: 0", "max_thing_id"),
        ("batch_size: 0", "batch_size"),
        ("", "nowhere-.*matches no file"),
    ],
)
def test_refuses(text, match):
    with pytest.raises(ValueError, match=match):
        data.build_dataset(options(text), training=True)


def test_refuses_a_negative_start():
    with pytest.raises(ValueError, match="start_step"):
        data.build_dataset(options(), training=True, start_step=-1)


@pytest.fixture
def broken(tmp_path, pattern):
    """Record 4, the last, holds no image."""
    with tf.io.TFRecordWriter(str(tmp_path / "train-00001")) as writer:
        writer.write(toy_records.record(3))
        writer.write(toy_records.record(4, image=b"broken"))
    return pattern


def images_of(dataset, batches):
    return [
        [int(i) for i in element[1]["image_id"]] for element in itertools.islice(dataset, batches)
    ]


def read_until_it_fails(dataset):
    count = 0
    with pytest.raises(tf.errors.InvalidArgumentError):
        for _ in dataset:
            count += 1
    return count


PASTING = "augmentations { panoptic_copy_paste { panoptic_copy_paste_scale: 0.5 } }"


@pytest.mark.parametrize("text", ["", PASTING])
def test_finds_what_stopped_training_and_leaves_it_out(broken, text):
    made = options(text, pattern=broken)
    step = read_until_it_fails(data.build_dataset(made, training=True, seed=2))
    (bad,) = data.find_bad_records(made, training=True, seed=2, start_step=step)
    assert (bad.image_id, bad.record, bad.image_name) == (4, 1, "image_4")
    assert not list(data.find_bad_records(made, training=True, seed=2, batches=step))
    found = {"training": True, "seed": 2, "start_step": step, "excluded": {4: step}}
    assert not list(data.find_bad_records(made, **found, batches=6))
    images = images_of(data.build_dataset(made, **found), 10)
    assert len(images) == 10
    assert {i for batch in images for i in batch} == {0, 1, 2, 3}
    # What came before stays: a run that starts again reads the very same.
    before = images_of(data.build_dataset(made, training=True, seed=2), step)
    again = images_of(
        data.build_dataset(made, training=True, seed=2, excluded={4: step}), step + 10
    )
    assert again == before + images


def test_finds_what_stopped_the_evaluation_and_leaves_it_out(broken):
    made = options(pattern=broken)
    read_until_it_fails(data.build_dataset(made, training=False))
    (bad,) = data.find_bad_records(made, training=False)
    assert bad.image_id == 4
    assert not list(data.find_bad_records(made, training=False, excluded={4: 0}))
    kept = data.build_dataset(made, training=False, excluded={4: 7})
    assert images_of(kept, 9) == [[0, 1], [2, 3]]


def test_finds_nothing_where_records_are_good(pattern):
    assert not list(data.find_bad_records(options(pattern=pattern), training=True, batches=2))


def test_something_must_be_left(pattern):
    with pytest.raises(ValueError, match="All 5 records of `file_pattern` are left out"):
        data.build_dataset(
            options(pattern=pattern), training=True, excluded=dict.fromkeys(range(5), 0)
        )


def test_damaged_files_are_used_where_bad_records_are_allowed(tmp_path, pattern):
    path = tmp_path / "train-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"Record 1 of .*train-00001 cannot be read"):
        data.build_dataset(options(pattern=pattern), training=False)
    allowed = options("max_bad_records: 1", pattern)
    assert data.find_source(allowed).total == 4
    assert images_of(data.build_dataset(allowed, training=False), 9) == [[0, 1], [2, 3]]


def test_training_and_evaluation_must_have_the_same_classes():
    config = experiment_pb2.ExperimentOptions()
    config.train_dataset_options.dataset_info = "shapes"
    data.require_same_classes(config)
    config.eval_dataset_options.dataset_info = "coco_panoptic"
    with pytest.raises(ValueError, match=r"coco_panoptic must have the classes of .*shapes"):
        data.require_same_classes(config)


def test_training_and_evaluation_must_have_the_same_task():
    config = experiment_pb2.ExperimentOptions()
    config.train_dataset_options.dataset_info = "shapes"
    config.train_dataset_options.task = data_pb2.DatasetOptions.SEMANTIC
    data.require_same_classes(config)  # there is no evaluation
    config.eval_dataset_options.batch_size = 2
    with pytest.raises(
        ValueError,
        match=r"`eval_dataset_options.task` .* `train_dataset_options.task`, SEMANTIC; .* PANOPTIC",
    ):
        data.require_same_classes(config)
    config.eval_dataset_options.task = data_pb2.DatasetOptions.SEMANTIC
    data.require_same_classes(config)


def test_the_task_decides_the_classes(tmp_path, pattern):
    assert data.task_of(options()) is Task.PANOPTIC
    assert data.dataset_info_of(options()) == load_dataset_info("shapes")
    assert data.dataset_info_of(options("task: SEMANTIC")).thing_ids == ()
    instance = options("task: INSTANCE", pattern)
    info = data.dataset_info_of(instance)
    assert (info.stuff_ids, info.void_ids) == ((), (7, 8, 9, 10))
    _, targets = next(iter(data.build_dataset(instance, training=True)))
    assert targets["segment_class"].shape == (2, 5)
    # The description that a run leaves behind stands for the same task.
    save_dataset_info(info, str(tmp_path / "labels.json"))
    instance.dataset_info = str(tmp_path / "labels.json")
    assert data.dataset_info_of(instance) == info
    instance.ClearField("task")
    assert data.dataset_info_of(instance) == info
    config = experiment_pb2.ExperimentOptions(train_dataset_options=options("task: INSTANCE"))
    config.eval_dataset_options.CopyFrom(options("task: INSTANCE"))
    config.eval_dataset_options.dataset_info = str(tmp_path / "labels.json")
    data.require_same_classes(config)


def test_a_task_must_leave_classes(tmp_path):
    path = tmp_path / "stuff.json"
    save_dataset_info(data.dataset_info_of(options("task: SEMANTIC")), str(path))
    made = options("task: INSTANCE")
    made.dataset_info = str(path)
    with pytest.raises(ValueError, match=r"`task` INSTANCE needs classes that are things"):
        data.build_dataset(made, training=True)


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0), (0, 3)])
def test_a_share_must_be_a_part_of_a_batch(pattern, share):
    with pytest.raises(ValueError, match=r"`share` must be .* batch size 2; received"):
        data.build_dataset(options(pattern=pattern), training=True, batch_size=2, share=share)

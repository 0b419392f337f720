from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import copy_paste, geometry, photometric, pipeline, records, targets
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.task import Task, apply_task
from tests.data import toy_records

INFO = load_dataset_info("shapes")
CROP = (33, 33)
TARGETS = targets.TargetOptions(
    max_things=5, crowd_as_void=True, small_thing_area=0, small_thing_weight=1.0
)
PLAIN = pipeline.TrainingOptions(
    crop=CROP,
    resize=geometry.ResizeOptions(CROP, CROP, 0),
    scale_bounds=(1.0, 1.0),
    scale_step=0.0,
    policy=None,
    paste=None,
    targets=TARGETS,
)
EVERYTHING = PLAIN._replace(
    scale_bounds=(0.5, 1.5),
    scale_step=0.25,
    policy=photometric.SIMPLE_CLASSIFICATION,
    paste=copy_paste.PasteOptions(
        0.5, copy_paste.Choice.ALL, copy_paste.Choice.RANDOM, copy_paste.Choice.NONE
    ),
)


@pytest.fixture
def source(tmp_path):
    return records.find_records([toy_records.write_files(tmp_path, [4, 3])])


def train(source, options, info=INFO, **changes):
    arguments = {"options": options, "batch_size": 2, "seed": 5, "start_step": 0, "excluded": {}}
    arguments.update(changes)
    return pipeline.training_dataset(source, info, **arguments)


def evaluate(source, info=INFO, **changes):
    arguments = {
        "crop": CROP,
        "resize": PLAIN.resize,
        "target_options": TARGETS._replace(crowd_as_void=False),
        "batch_size": 3,
        "start_step": 0,
        "excluded": (),
        **changes,
    }
    return pipeline.evaluation_dataset(source, info, **arguments)


def test_training_element_spec(source):
    features, made = train(source, EVERYTHING).element_spec
    assert features["image"] == tf.TensorSpec([2, 33, 33, 3], tf.float32)
    maps = [2, 33, 33]
    assert made == {
        "semantic": tf.TensorSpec(maps, tf.int32),
        "semantic_weight": tf.TensorSpec(maps, tf.float32),
        "segment_id": tf.TensorSpec(maps, tf.int32),
        "is_crowd": tf.TensorSpec(maps, tf.bool),
        "segment_class": tf.TensorSpec([2, 5 + 4], tf.int32),
        "dropped_things": tf.TensorSpec([2], tf.int32),
        "valid_size": tf.TensorSpec([2, 2], tf.int32),
        "image_id": tf.TensorSpec([2], tf.int64),
    }


def test_training_continues_exactly(source):
    """Same seed: same batches, also when starting late; other seed: other batches."""
    batches = list(itertools.islice(train(source, EVERYTHING), 9))
    resumed = itertools.islice(train(source, EVERYTHING, start_step=7), 2)
    for late, expected in zip(resumed, batches[7:]):
        tf.nest.map_structure(np.testing.assert_array_equal, late, expected)
    other = next(iter(train(source, PLAIN, seed=6)))
    same = next(iter(train(source, PLAIN)))
    assert not np.array_equal(other[0]["image"], same[0]["image"])


def test_training_batches_are_consistent(source):
    """Rows, classes and semantic map tell one story, with everything switched on."""
    for features, made in itertools.islice(train(source, EVERYTHING), 10):
        image = features["image"].numpy()
        assert image.min() >= 0
        assert image.max() <= 255
        for semantic, segment_id, segment_class in zip(
            *(made[key].numpy() for key in ("semantic", "segment_id", "segment_class"))
        ):
            inside = segment_id >= 0
            np.testing.assert_array_equal(segment_class[segment_id[inside]], semantic[inside])
            assert not semantic[~inside].any()
            present = set(segment_id[inside].tolist())
            assert present == set(np.flatnonzero(segment_class >= 0).tolist())


def test_dropped_things_are_counted_per_image(source):
    """Every image has one circle and one square."""
    options = PLAIN._replace(targets=TARGETS._replace(max_things=1))
    _, made = next(iter(train(source, options)))
    assert made["dropped_things"].numpy().tolist() == [1, 1]
    (_, made, _) = next(iter(evaluate(source)))
    assert made["dropped_things"].numpy().tolist() == [0, 0, 0]


def test_plain_training_shows_each_image_unchanged(source):
    """Without augmentation only the flip is random; ids name the right records."""
    seen = set()
    for features, made in itertools.islice(train(source, PLAIN), 7):
        for image, image_id, valid in zip(
            features["image"].numpy(), made["image_id"].numpy(), made["valid_size"].numpy()
        ):
            assert valid.tolist() == [27, 33]
            assert set(np.unique(image)) == {float(image_id), 127.5}
            seen.add(int(image_id))
    assert seen == set(range(7))


def test_evaluation_sees_every_image_once(source):
    batches = list(evaluate(source))
    assert [len(b[0]["image"]) for b in batches] == [3, 3, 1]
    ids = np.concatenate([b[1]["image_id"] for b in batches])
    assert ids.tolist() == list(range(7))
    features, made, extra = batches[0]
    assert features["image"].shape == (3, 33, 33, 3)
    np.testing.assert_array_equal(features["image"][1, :27], np.full((27, 33, 3), 1.0))
    np.testing.assert_array_equal(features["image"][1, 27:], np.full((6, 33, 3), 127.5))
    assert made["valid_size"].numpy().tolist() == [[27, 33]] * 3
    assert extra["original_size"].numpy().tolist() == [[20, 24]] * 3
    np.testing.assert_array_equal(
        extra["original_panoptic"][2], toy_records.shapes_label(20, 24, 2)
    )
    assert (made["semantic"].numpy()[:, 27:] == 0).all()
    late = next(iter(evaluate(source, start_step=2)))
    assert late[1]["image_id"].numpy().tolist() == [6]


def test_evaluation_pads_the_original_labels_with_void(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "val-0")) as writer:
        writer.write(toy_records.record(1, size=(20, 24)))
        writer.write(toy_records.record(2, size=(30, 16)))
    source = records.find_records([str(tmp_path / "val-0")])
    _, _, extra = next(iter(evaluate(source)))
    panoptic = extra["original_panoptic"].numpy()
    assert panoptic.shape == (2, 30, 24)
    assert not panoptic[0, 20:].any()
    assert not panoptic[1, :, 16:].any()
    assert extra["original_size"].numpy().tolist() == [[20, 24], [30, 16]]


def test_evaluation_keeps_crowd(tmp_path):
    label = toy_records.shapes_label(20, 24, 0)
    label[15:18, 12:20] = 3 * 256
    with tf.io.TFRecordWriter(str(tmp_path / "val-0")) as writer:
        writer.write(toy_records.record(0, label=label))
    source = records.find_records([str(tmp_path / "val-0")])
    _, made, extra = next(iter(evaluate(source)))
    crowd = made["is_crowd"].numpy()
    assert crowd.any()
    assert (made["semantic"].numpy()[crowd] == 3).all()
    assert (made["segment_id"].numpy()[crowd] == -1).all()
    assert (extra["original_panoptic"].numpy() == 3 * 256).sum() == 24
    _, trained = next(iter(train(source, PLAIN, batch_size=1)))
    assert not trained["is_crowd"].numpy().any()
    assert 3 not in trained["semantic"].numpy()


@pytest.mark.parametrize("task", [Task.SEMANTIC, Task.INSTANCE])
def test_targets_and_ground_truth_follow_the_task(source, task):
    """Circle and square are things, sky and grass stuff; also where segments are pasted."""
    info = apply_task(INFO, task)
    expected = {Task.SEMANTIC: {0, 256, 512, 7 * 256, 8 * 256}, Task.INSTANCE: {0, 257, 513}}[task]
    classes = {label // 256 for label in expected}
    for _, made, extra in evaluate(source, info):
        assert set(np.unique(extra["original_panoptic"])) == expected
        assert set(np.unique(made["semantic"])) == classes
    things, num_stuff = (0, 10) if task is Task.SEMANTIC else (2, 0)
    for _, made in itertools.islice(train(source, EVERYTHING, info), 5):
        assert made["segment_class"].shape == (2, 5 + num_stuff)
        assert set(np.unique(made["semantic"])) <= classes
        assert not (made["segment_class"].numpy()[:, :5] >= 0).any() or things
        assert set(np.unique(made["segment_class"])) <= {*classes, -1} - {0}
    _, made = next(iter(train(source, PLAIN, info)))
    assert ((made["segment_class"].numpy()[:, :5] >= 0).sum(axis=1) == things).all()


def test_evaluation_without_labels(source):
    batches = list(evaluate(source, target_options=None))
    assert len(batches) == 3
    assert sorted(batches[0][1]) == ["image_id", "valid_size"]
    assert sorted(batches[0][2]) == ["original_size"]


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", ["size", "bytes", "class"])
def test_bad_record_stops_with_its_name(tmp_path, kind, task):
    label = toy_records.shapes_label(20, 24, 0)
    content = toy_records.record(3)
    if kind == "size":
        content = toy_records.record(3, image=toy_records.png(np.zeros((5, 5, 3), np.uint8)))
    elif kind == "class":
        content = toy_records.record(3, label=label + 77 * 256)
    else:
        example = tf.train.Example.FromString(content)
        example.features.feature["image/segmentation/class/encoded"].bytes_list.value[0] = b"1234"
        content = example.SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "val-0")) as writer:
        writer.write(content)
    source = records.find_records([str(tmp_path / "val-0")])
    info = apply_task(INFO, task)
    for dataset in (evaluate(source, info), train(source, PLAIN, info, batch_size=1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Bad record.*image_3"):
            next(iter(dataset))


@pytest.mark.parametrize("count", [2, 4])
def test_shares_of_training_are_together_the_whole(source, count):
    whole = train(source, EVERYTHING, batch_size=4, start_step=1)
    shares = [
        train(source, EVERYTHING, batch_size=4, start_step=1, share=(index, count))
        for index in range(count)
    ]
    assert shares[0].element_spec[0]["image"].shape[0] == 4 // count
    for batches in itertools.islice(zip(whole, *shares), 3):
        expected, *parts = [tf.nest.flatten(batch) for batch in batches]
        for value, *own in zip(expected, *parts):
            # Image i of the batch is made by share i modulo count.
            together = tf.stack(own, axis=1)
            np.testing.assert_array_equal(tf.reshape(together, tf.shape(value)), value)


def test_shares_of_an_evaluation_hold_every_image_once(source):
    seen = []
    for index in range(2):
        batches = list(evaluate(source, batch_size=4, share=(index, 2)))
        ids = [batch[1]["image_id"].numpy().tolist() for batch in batches]
        assert all(len(some) <= 2 for some in ids)
        seen += [image_id for some in ids for image_id in some]
    assert seen == [0, 2, 4, 6, 1, 3, 5]
    left = [
        image_id
        for index in range(2)
        for batch in evaluate(source, batch_size=4, share=(index, 2), excluded=(0, 3))
        for image_id in batch[1]["image_id"].numpy().tolist()
    ]
    assert left == [1, 4, 6, 2, 5]

"""Evaluation over records: every image once, at its own size, and saved as COCO panoptic files."""

from __future__ import annotations

import json
from typing import List

import numpy as np
import pytest
import tensorflow as tf

import kmax_tf
from evaluation import evaluate
from evaluation.evaluate import evaluate_checkpoint, images_of_batch
from kmax_tf.build.config import load_config
from kmax_tf.build.inference import Inference
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.finite import NonFinitePredictionError
from kmax_tf.results.coco_panoptic import coco_to_panoptic, read_ids
from kmax_tf.structures import PanopticPrediction
from tests import tiny

SIZES = [(65, 65), (33, 65), (65, 49)]
INFO = load_dataset_info("shapes")


class Oracle:
    """Predicts the ground truth, image after image, whatever it is shown."""

    scores = ((0.9, 0.8, 0.7, 0.0),)

    def __init__(self, truths: List[np.ndarray]) -> None:
        padded = np.zeros((len(truths), 65, 65), np.int32)
        for row, truth in zip(padded, truths):
            row[: truth.shape[0], : truth.shape[1]] = truth
        self.truths = tf.constant(padded)
        self.next = tf.Variable(0)

    def __call__(self, images: tf.Tensor) -> PanopticPrediction:
        count = tf.shape(images)[0]
        panoptic = self.truths[self.next : self.next + count]
        self.next.assign_add(count)
        ids = tf.tile([[1 * 256 + 1, 4 * 256 + 1, 7 * 256, -1]], [count, 1])
        zeros = tf.zeros_like(panoptic, tf.float32)
        return PanopticPrediction(
            panoptic=panoptic,
            semantic=tf.where(panoptic > 0, panoptic // 256, 7),
            mask_id=panoptic,
            instance_score=zeros + 0.5,
            semantic_score=zeros + 0.6,
            segment_class=tf.where(ids > 0, ids // 256, -1),
            segment_id=ids,
            segment_score=tf.tile(self.scores, [count, 1]),
        )


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Config, records and an oracle in the place of the model."""
    records = tiny.write_records(tmp_path, SIZES)
    config = load_config(tiny.CONFIG, [f"KMAX_DATA={tmp_path}"])
    config.eval_dataset_options.min_resize_value.append(0)  # Sizes stay as they are.
    oracle = Oracle(records.truths)

    def build(config, *, checkpoint, raw_weights):
        assert not raw_weights
        assert checkpoint == "some/ckpt-1"
        return Inference(oracle, lambda image: (image, image), (65, 65), INFO)

    monkeypatch.setattr(evaluate, "build_inference", build)
    return config, records


def test_an_oracle_reaches_everything(setup):
    config, _ = setup
    advanced = []
    evaluation = evaluate_checkpoint(config, "some/ckpt-1", advance=advanced.append)
    assert evaluation.num_images == 3
    assert advanced == [2, 1]
    for metric in ("pq", "sq", "rq", "pq_things", "pq_stuff", "pq_in_graph", "miou", "ap"):
        assert evaluation.result[metric] == pytest.approx(100.0)
    assert "3 images" in evaluation.table
    rows = {row["name"]: row for row in evaluation.result["per_class"]}
    assert rows["circle"]["tp"] == rows["star"]["tp"] == rows["sky"]["tp"] == 3


def _knows_bright_images(images: tf.Tensor) -> PanopticPrediction:
    """Sky, and in brighter images a circle, scored by the brightness."""
    bright = tf.reduce_mean(images[:, :33], [1, 2, 3]) / 255.0
    is_corner = tf.logical_and(tf.range(65)[:, None] < 32, tf.range(65) < 32)
    circle = tf.logical_and(is_corner, bright[:, None, None] > 0.495)
    panoptic = tf.where(circle, 1 * 256 + 1, 7 * 256)
    score = tf.where(circle, bright[:, None, None], 0.5)
    ids = tf.tile([[1 * 256 + 1, 7 * 256]], [tf.shape(images)[0], 1])
    return PanopticPrediction(
        panoptic, panoptic // 256, panoptic, score, score, ids // 256, ids, tf.ones(tf.shape(ids))
    )


def test_batches_and_devices_change_nothing(setup, mirrored_strategy, monkeypatch):
    config, _ = setup
    inference = Inference(_knows_bright_images, lambda image: (image, image), (65, 65), INFO)
    monkeypatch.setattr(evaluate, "build_inference", lambda config, **_: inference)
    results = []
    for strategy in (None, mirrored_strategy):
        for batch_size in (1, 2, 3):  # Three images: the last of two batches is short.
            config.eval_dataset_options.batch_size = batch_size
            evaluation = evaluate_checkpoint(config, "some/ckpt-1", strategy=strategy)
            assert evaluation.num_images == 3
            results.append(evaluation.result)
    rows = {row["name"]: row for row in results[0]["per_class"]}
    assert [rows["circle"][name] for name in ("tp", "fp", "fn")] == [2, 1, 1]
    assert [rows["sky"][name] for name in ("tp", "fp", "fn")] == [2, 1, 1]
    assert rows["star"]["fn"] == 3
    assert all(result == results[0] for result in results)


def _same_segments(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two panoptic maps agree; COCO has no instance numbers, so those may differ."""
    pairs = np.unique(np.stack([first, second]).reshape(2, -1), axis=1)
    one_to_one = pairs.shape[1] == len(np.unique(first)) == len(np.unique(second))
    return one_to_one and np.array_equal(first // 256, second // 256)


def test_a_real_model_finds_the_same_on_several_devices(tmp_path, mirrored_strategy):
    """Mirrored weights, a batch, two passes: as one image after the other on one device."""
    records = tiny.write_records(tmp_path, SIZES)
    prefix = tiny.write_checkpoint(tmp_path)
    settings = [f"KMAX_DATA={tmp_path}", *tiny.WITHOUT_THRESHOLDS]
    config = load_config(tiny.CONFIG, [*settings, "evaluator_options.eval_scales=1,1.5"])
    config.eval_dataset_options.batch_size = 3
    folder = tmp_path / "predictions"
    evaluate_checkpoint(config, prefix, save_predictions=folder, strategy=mirrored_strategy)
    content = json.loads((folder / "panoptic.json").read_text())
    predictor = kmax_tf.Predictor(config, checkpoint=prefix)
    for image, annotation in zip(records.images, content["annotations"]):
        ids = read_ids(folder / annotation["file_name"])
        found = coco_to_panoptic(ids, annotation["segments_info"], INFO)
        assert len(np.unique(found)) > 1
        assert _same_segments(found, predictor(image).panoptic)
    one_pass = kmax_tf.Predictor(load_config(tiny.CONFIG, settings), checkpoint=prefix)
    assert not _same_segments(found, one_pass(image).panoptic)


@pytest.mark.parametrize("described", [False, True])
def test_records_of_other_converters_are_told_apart(setup, tmp_path, described):
    config, _ = setup
    if described:
        (tmp_path / "shapes" / "tfrecords" / "dataset_info.json").touch()
    table = evaluate_checkpoint(config, "some/ckpt-1").table
    assert ("crowd counted as void" in table) != described


def test_logits_that_are_not_finite_stop_the_evaluation(setup, monkeypatch):
    config, _ = setup
    monkeypatch.setattr(Oracle, "scores", [[0.9, 0.8, np.nan, 0.0]])
    with pytest.raises(NonFinitePredictionError, match="images: 0, 1") as error:
        evaluate_checkpoint(config, "some/ckpt-1")
    assert error.value.images == (0, 1)


def test_eval_steps_limits_the_batches(setup):
    config, _ = setup
    config.evaluator_options.eval_steps = 1
    assert evaluate_checkpoint(config, "some/ckpt-1").num_images == 2


def test_saved_predictions_are_the_predicted_maps(setup, tmp_path):
    config, records = setup
    folder = tmp_path / "predictions"
    evaluate_checkpoint(config, "some/ckpt-1", save_predictions=folder)
    content = json.loads((folder / "panoptic.json").read_text())
    assert [each["image_id"] for each in content["annotations"]] == ["first image", 1, 2]
    for annotation, truth, name in zip(content["annotations"], records.truths, records.names):
        assert annotation["file_name"] == f"{name}.png"
        ids = read_ids(folder / annotation["file_name"])
        restored = coco_to_panoptic(ids, annotation["segments_info"], INFO)
        np.testing.assert_array_equal(restored, truth)
        scores = {s["category_id"]: s["score"] for s in annotation["segments_info"]}
        # Stuff by its slot; things as mask AP ranks them: mean mask score x mean class score.
        assert sorted(scores.values()) == pytest.approx([0.3, 0.3, 0.7])


def test_predictions_are_saved_in_the_format_asked_for(setup, tmp_path):
    config, records = setup
    folder = tmp_path / "predictions"
    evaluate_checkpoint(
        config, "some/ckpt-1", save_predictions=folder, save_format="two_channel_numpy_array"
    )
    for truth, name in zip(records.truths, records.names):
        classes, instances = np.moveaxis(np.load(folder / "raw_panoptic" / f"{name}.npy"), -1, 0)
        back = dict(zip(INFO.original_ids, INFO.class_ids))
        np.testing.assert_array_equal(np.vectorize(back.get)(classes, 0) * 256 + instances, truth)
    with pytest.raises(ValueError, match=r"`save_format` must be one of coco_panoptic, .*'gif'"):
        evaluate_checkpoint(config, "some/ckpt-1", save_predictions=folder, save_format="gif")


def test_data_without_labels_can_only_be_predicted(setup, tmp_path):
    config, _ = setup
    config.eval_dataset_options.decode_groundtruth_label = False
    with pytest.raises(ValueError, match="nothing can be measured: give `--save_predictions`"):
        evaluate_checkpoint(config, "some/ckpt-1")
    evaluation = evaluate_checkpoint(config, "some/ckpt-1", save_predictions=tmp_path / "new")
    assert evaluation == ({}, "", 3)
    assert len(list((tmp_path / "new").glob("*.png"))) == 3


def test_unfilled_placeholder_is_named(setup):
    config, _ = setup
    config.eval_dataset_options.file_pattern[0] = "${NOWHERE}/val-*"
    with pytest.raises(ValueError, match="nothing fills"):
        evaluate_checkpoint(config, "some/ckpt-1")


def test_maps_come_back_at_the_size_of_the_file(golden):
    case = np.load(golden / "predictor" / "undo.npz")
    rows = np.zeros((2, 4), np.int32)
    maps = case["panoptic"], case["semantic"], case["scores"]
    prediction = PanopticPrediction(maps[0], maps[1], maps[0], maps[2], maps[2], rows, rows, rows)
    targets = {"valid_size": np.stack([case["resized"]] * 2), "image_id": np.array([4, 5])}
    sizes = {"original_size": np.stack([case["raw"]] * 2)}
    images = list(images_of_batch(prediction, targets, sizes))
    assert [image.image_id for image in images] == [4, 5]
    for index, image in enumerate(images):
        assert image.ground_truth is None
        np.testing.assert_array_equal(image.panoptic, case["undone_panoptic"][index])
        np.testing.assert_array_equal(image.semantic, case["undone_semantic"][index])

"""Mask-wise post-processing against the reference, and against the sequential definition."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.post_processing import mask_wise, upsample
from kmax_tf.post_processing.mask_wise import MaskWisePostProcessor
from kmax_tf.structures import MaskPrediction
from tests.post_processing.golden_cases import MASK_WISE, check_against, load_case, toy_info

THRESHOLDS = {
    "thing_threshold": 0.5,
    "stuff_threshold": 0.5,
    "pixel_threshold": 0.4,
    "overlapping_threshold": 0.5,
    "class_weight": 1.0,
    "mask_weight": 1.0,
    "thing_area_limit": 0,
    "stuff_area_limit": 0,
}
INFO = toy_info({"num_classes": 5, "ignore_label": 0, "divisor": 10, "things": [1, 2]})


def build(info: Any, **changes: Any) -> MaskWisePostProcessor:
    return MaskWisePostProcessor(info, **{**THRESHOLDS, **changes})


def golden_processor(case: Any) -> MaskWisePostProcessor:
    options = case.options["maskwise"]
    return build(
        case.info,
        thing_threshold=options["transformer_class_confidence_threshold_thing"],
        stuff_threshold=options["transformer_class_confidence_threshold_stuff"],
        pixel_threshold=case.options["pixel_thr"],
        overlapping_threshold=options["overlapping_threshold"],
        class_weight=options["reorder_class_weight"],
        mask_weight=options["reorder_mask_weight"],
        thing_area_limit=case.options["thing_area"],
        stuff_area_limit=case.options["stuff_area"],
    )


def toy_logits(probabilities: Any, classes: Any) -> MaskPrediction:
    """One image with the given mask probabilities [h, w, Q] and (channel, confidence) per slot."""
    confidences = np.full([len(classes), 5], 1e-6)
    for slot, (channel, confidence) in enumerate(classes):
        confidences[slot, channel] = confidence
        confidences[slot, 4] = 1 - confidence
    return MaskPrediction(
        class_logits=tf.constant(np.log(confidences)[np.newaxis], tf.float32),
        mask_logits=tf.constant(np.log(np.array(probabilities))[np.newaxis], tf.float32),
    )


@pytest.mark.parametrize("name", MASK_WISE)
def test_equals_reference(name: str) -> None:
    case = load_case(name)
    check_against(case, golden_processor(case)(case.prediction, case.size))


def test_bands_of_rows_and_dynamic_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsample, "_BAND_ELEMENTS", 65 * 16 * 7)
    case = load_case("maskwise_coco")
    processor = golden_processor(case)
    specs = [
        tf.TensorSpec([None, *tensor.shape[1:]], tf.float32)
        for tensor in (case.prediction.class_logits, case.prediction.mask_logits)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def process(class_logits: tf.Tensor, mask_logits: tf.Tensor) -> Any:
        return processor(MaskPrediction(class_logits, mask_logits), case.size)

    result = process(case.prediction.class_logits, case.prediction.mask_logits)
    check_against(case, result)


@pytest.mark.parametrize("banded", [False, True])
def test_runs_under_xla(banded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if banded:
        monkeypatch.setattr(upsample, "_BAND_ELEMENTS", 65 * 16 * 33)
    case = load_case("maskwise_coco")
    processor = golden_processor(case)
    process = tf.function(
        lambda classes, masks: processor(MaskPrediction(classes, masks), case.size),
        jit_compile=True,
        autograph=False,
    )
    check_against(case, process(case.prediction.class_logits, case.prediction.mask_logits))


def test_more_than_two_claims_per_pixel_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_wise, "_most_claims", lambda *_: 4)
    case = load_case("maskwise_crowded")
    check_against(case, golden_processor(case)(case.prediction, case.size))


def test_low_pixel_threshold_follows_the_sequential_definition() -> None:
    random = np.random.default_rng(3)
    logits = random.normal(size=[1, 9, 9, 12]).astype(np.float32)
    class_logits = random.normal(size=[1, 12, 5]).astype(np.float32) * 3
    processor = build(
        dataclasses.replace(INFO, label_divisor=100),  # more than the 12 slots
        pixel_threshold=0.1,
        thing_threshold=0.3,
        stuff_threshold=0.3,
        overlapping_threshold=0.3,
        mask_weight=0.0,
    )
    result = processor(MaskPrediction(tf.constant(class_logits), tf.constant(logits)), (9, 9))

    def softmax(x: np.ndarray) -> np.ndarray:
        exponentials = np.exp(x.astype(np.float64))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    confidences = softmax(class_logits[0])[:, :-1]
    masks = softmax(logits[0]) > 0.1
    order = np.argsort(-confidences.max(axis=1), kind="stable")
    expected = np.zeros([9, 9], np.int64)
    for rank, slot in enumerate(order):
        new = masks[..., slot] & (expected == 0)
        if confidences[slot].max() >= 0.3 and new.sum() > 0.3 * masks[..., slot].sum():
            expected[new] = rank + 1
    assert len(np.unique(expected)) > 4
    np.testing.assert_array_equal(result.mask_id[0], np.maximum(expected, 1))


def test_overlap_decides_in_order_of_score() -> None:
    # Slot 1 claims columns 0-1, slot 0 columns 1-3 (both above 0.4 in column 1), slot 2 column 3.
    rows = [[0.05, 0.9, 0.05], [0.45, 0.5, 0.05], [0.9, 0.05, 0.05], [0.45, 0.05, 0.5]]
    prediction = toy_logits([rows, rows], [(0, 0.8), (1, 0.9), (2, 0.7)])
    result = build(INFO, mask_weight=0.0)(prediction, (2, 4))
    # Slot 1 first (class 2, rank 1), then slot 0 with two of three columns free (class 1, rank 2);
    # nothing of slot 2 is free.
    np.testing.assert_array_equal(result.panoptic[0], [[21, 21, 12, 12]] * 2)
    np.testing.assert_array_equal(result.segment_id[0], [12, 21, -1])
    np.testing.assert_allclose(result.segment_score[0], [0.8, 0.9, 0.0], atol=1e-4)
    # With two thirds demanded, slot 0 does not have *more*, and slot 2 becomes free.
    result = build(INFO, mask_weight=0.0, overlapping_threshold=2 / 3)(prediction, (2, 4))
    np.testing.assert_array_equal(result.panoptic[0], [[21, 21, 0, 30]] * 2)


def test_stuff_of_one_class_merges_and_small_segments_vanish() -> None:
    rows = [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    prediction = toy_logits([rows, rows], [(2, 0.8), (2, 0.9), (0, 0.7)])
    result = build(INFO, thing_area_limit=2, stuff_area_limit=6)(prediction, (2, 4))
    np.testing.assert_array_equal(result.panoptic[0], [[30, 30, 30, 13]] * 2)
    # Both slots are "class 3"; the better one speaks for it.
    np.testing.assert_array_equal(result.segment_id[0], [-1, 30, 13])
    result = build(INFO, thing_area_limit=3, stuff_area_limit=7)(prediction, (2, 4))
    np.testing.assert_array_equal(result.panoptic[0], np.zeros([2, 4]))
    np.testing.assert_array_equal(result.segment_id[0], [-1, -1, -1])


def test_nothing_confident_is_void() -> None:
    rows = [[0.9, 0.1]] * 4
    prediction = toy_logits([rows, rows], [(0, 0.3), (3, 0.2)])
    result = build(INFO)(prediction, (2, 4))
    np.testing.assert_array_equal(result.panoptic, np.zeros([1, 2, 4]))
    np.testing.assert_array_equal(result.mask_id, np.ones([1, 2, 4]))
    np.testing.assert_array_equal(result.semantic, np.ones([1, 2, 4]))
    for scores in (result.instance_score, result.semantic_score):
        np.testing.assert_array_equal(scores, np.zeros([1, 2, 4]))


@pytest.mark.parametrize(
    ("threshold", "slots", "expected"),
    [(0.4, 128, 2), (0.5, 128, 1), (0.9, 128, 1), (0.3, 128, 3), (0.3, 2, 2), (0.0, 16, 16)],
)
def test_most_claims(threshold: float, slots: int, expected: int) -> None:
    assert mask_wise._most_claims(threshold, slots) == expected

"""The verdicts on slots are those that the maps follow from."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.post_processing.pixel_wise import PixelWisePostProcessor
from kmax_tf.structures import Verdict
from tests.post_processing.golden_cases import MASK_WISE, load_case
from tests.post_processing.test_mask_wise import INFO, build, golden_processor, toy_logits

# Five slots of one class each (0, 1 things; 2, 3 stuff), on a row of ten pixels.
CLAIMS = [
    # (probabilities of slots 0 to 4) per pixel
    *[(0.9, 0.02, 0.02, 0.03, 0.03)] * 4,
    *[(0.45, 0.46, 0.03, 0.03, 0.03)] * 2,
    *[(0.02, 0.02, 0.9, 0.03, 0.03)] * 3,
    (0.3, 0.1, 0.1, 0.25, 0.25),
]


def explain(classes, **changes):
    processor = build(INFO, mask_weight=0.0, **changes)
    prediction = toy_logits([CLAIMS], classes)
    made = processor.explain(prediction, (1, 10))
    return made, processor(prediction, (1, 10))


def test_every_verdict_of_mask_wise():
    classes = [(0, 0.9), (1, 0.8), (2, 0.4), (3, 0.7), (3, 0.6)]
    made, result = explain(classes)
    # Slot 1 has nothing free, slot 2 is not confident, 3 and 4 claim no pixel.
    expected = ["KEPT", "OVERLAPPED", "NOT_CONFIDENT", "NO_PIXEL", "NO_PIXEL"]
    assert [Verdict(v).name for v in made.verdict[0].numpy()] == expected
    assert made.claimed_area[0].numpy().tolist() == [6, 2, 3, 0, 0]
    assert made.free_area[0].numpy().tolist() == [6, 0, 3, 0, 0]
    assert made.segment_id[0].numpy().tolist() == [11, 0, 0, 0, 0]
    np.testing.assert_array_equal(result.panoptic[0], [[11] * 6 + [0] * 4])
    np.testing.assert_allclose(made.score[0], [0.9, 0.8, 0.4, 0.7, 0.6], atol=1e-4)
    assert made.sees_nothing[0].numpy().tolist() == [False, False, True, False, False]
    np.testing.assert_array_equal(made.best_slot[0], [[0] * 4 + [1] * 2 + [2] * 3 + [0]])
    np.testing.assert_allclose(
        made.best_probability.numpy()[0, 0, [0, 4, 9]], [0.9, 0.46, 0.3], atol=1e-4
    )


def test_too_small_segments():
    classes = [(0, 0.9), (1, 0.95), (2, 0.8), (3, 0.1), (3, 0.1)]
    made, result = explain(classes, thing_area_limit=3, stuff_area_limit=3)
    assert [Verdict(v).name for v in made.verdict[0].numpy()][:3] == ["KEPT", "TOO_SMALL", "KEPT"]
    np.testing.assert_array_equal(result.panoptic[0], [[12] * 4 + [0] * 2 + [30] * 3 + [0]])


@pytest.mark.parametrize("name", MASK_WISE)
def test_kept_slots_are_the_segments_of_the_map(name):
    case = load_case(name)
    processor = golden_processor(case)
    made, result = (
        processor.explain(case.prediction, case.size),
        processor(case.prediction, case.size),
    )
    for index in range(result.panoptic.shape[0]):
        kept = made.verdict[index] == int(Verdict.KEPT)
        ids = np.unique(result.panoptic[index])
        void = case.info.void_panoptic
        assert set(made.segment_id[index].numpy()[kept]) == set(ids) - {void}
        assert (made.segment_id[index].numpy()[~kept.numpy()] == void).all()
        scored = result.segment_id[index] >= 0
        np.testing.assert_array_equal(
            made.score[index].numpy()[scored], result.segment_score[index].numpy()[scored]
        )


def test_pixel_wise():
    processor = PixelWisePostProcessor(
        INFO, class_threshold=0.5, pixel_threshold=0.4, thing_area_limit=3, stuff_area_limit=0
    )
    classes = [(0, 0.9), (1, 0.8), (2, 0.4), (3, 0.7), (3, 0.6)]
    prediction = toy_logits([CLAIMS], classes)
    made, result = processor.explain(prediction, (1, 10)), processor(prediction, (1, 10))
    expected = ["KEPT", "TOO_SMALL", "NOT_CONFIDENT", "NO_PIXEL", "NO_PIXEL"]
    assert [Verdict(v).name for v in made.verdict[0].numpy()] == expected
    assert made.claimed_area[0].numpy().tolist() == [4, 2, 0, 0, 0]
    np.testing.assert_array_equal(result.panoptic[0], [[11] * 4 + [0] * 6])

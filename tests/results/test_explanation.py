"""Slots sorted by what became of them, and the reasons of void pixels."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.results.explanation import (
    UNSURE,
    Evidence,
    Explanation,
    Limits,
    explain_result,
    format_dropped,
)
from kmax_tf.results.panoptic_result import PanopticResult
from kmax_tf.results.segments import find_segments
from kmax_tf.structures import SlotDecisions, Verdict
from tests.results.test_segments import INFO

LIMITS = Limits(thing=0.3, stuff=0.5, pixel=0.4, overlap=0.5, thing_area=20, stuff_area=60)


def toy_explanation() -> Explanation:
    """Six slots in columns of an image: kept, one for each way to be dropped, and an idle one."""
    columns = np.repeat(np.arange(6), 10)
    slot = np.broadcast_to(columns, (40, 60)).astype(np.int32)
    panoptic = np.where(slot == 0, 101, 0)
    panoptic[:, 55:] = 300
    probability = np.full((40, 60), 0.8, np.float32)
    probability[:5] = 0.35
    verdict = [
        Verdict.KEPT,
        Verdict.NOT_CONFIDENT,
        Verdict.OVERLAPPED,
        Verdict.TOO_SMALL,
        Verdict.NO_PIXEL,
        Verdict.NOT_CONFIDENT,
    ]
    decisions = SlotDecisions(
        verdict=np.array(verdict, np.int32),
        confidence=np.array([0.9, 0.25, 0.8, 0.7, 0.6, 0.1], np.float32),
        class_id=np.array([1, 2, 1, 3, 1, 3]),
        sees_nothing=np.array([False] * 5 + [True]),
        score=np.array([0.85, 0.2, 0.7, 0.75, 0.0, 0.05], np.float32),
        claimed_area=np.array([400, 400, 200, 17, 0, 300]),
        free_area=np.array([400, 400, 50, 17, 0, 300]),
        segment_id=np.array([101, 0, 0, 0, 0, 0]),
        best_slot=slot,
        best_probability=probability,
    )
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    segments = find_segments({"panoptic": panoptic}, INFO)
    result = PanopticResult("street", image, panoptic, panoptic // 100, tuple(segments), INFO)
    stages = (slot, np.minimum(slot, 3))
    return explain_result(result, Evidence(decisions, stages, ((4, 6), (8, 12)), LIMITS))


def test_slots_are_sorted_and_grouped():
    made = toy_explanation()
    assert [slot.number for slot in made.slots] == [0, 3, 2, 1, 5, 4]
    assert [slot.number for slot in made.kept] == [0]
    assert [slot.number for slot in made.dropped] == [3, 2, 1, 4]
    assert [slot.number for slot in made.idle] == [5]


@pytest.mark.parametrize(
    "number, reason",
    [
        (0, ""),
        (1, "class confidence below 0.30, the threshold of things"),
        (2, "better slots leave 25% of its mask, not more than 50%"),
        (3, "17 pixels left, and stuff must have 60"),
        (4, "no pixel with a mask probability above 0.40"),
    ],
)
def test_reasons_name_the_threshold(number, reason):
    (slot,) = [slot for slot in toy_explanation().slots if slot.number == number]
    assert slot.reason == reason


def test_void_pixels_have_the_reason_of_their_slot():
    reasons = toy_explanation().void_reasons()
    assert reasons.shape == (40, 60)
    assert (reasons[:, :10] == Verdict.KEPT).all()
    assert (reasons[:5, 10:55] == UNSURE).all()
    assert (reasons[5:, 10:20] == Verdict.NOT_CONFIDENT).all()
    assert (reasons[5:, 20:30] == Verdict.OVERLAPPED).all()
    assert (reasons[5:, 30:40] == Verdict.TOO_SMALL).all()
    assert (reasons[:, 55:] == Verdict.KEPT).all()


def test_a_pixel_that_a_small_segment_took_from_a_kept_slot():
    made = toy_explanation()
    made.result.panoptic[20, 5] = 0
    assert made.void_reasons()[20, 5] == Verdict.TOO_SMALL


def test_table_of_the_dropped():
    lines = format_dropped(toy_explanation()).splitlines()
    assert lines[0] == "6 slots: 1 kept, 4 dropped, 1 saw nothing"
    assert len(lines) == 3 + 4
    assert lines[3].split()[:6] == ["3", "grass", "0.70", "0.75", "17", "px"]

"""What a half type costs, worked out by hand on small maps."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.export.precision_cost import (
    FOUND_AGAIN,
    SAME_CLASS,
    SAME_SEGMENT,
    SCORE_DIFFERENCE,
    CostRow,
    compare_predictions,
    format_precision_cost,
)
from tests.export.toy import INFO

DARK, MIDDLE = 256, 512  # Stuff.
FIRST, SECOND = 769, 770  # Things of one class.


def prediction(panoptic, **scores):
    ids = {"dark": DARK, "middle": MIDDLE, "first": FIRST, "second": SECOND}
    return {
        "panoptic": np.array(panoptic, np.int32),
        "segment_id": np.array([ids[name] for name in scores] + [-1], np.int32),
        "segment_score": np.array([*scores.values(), 0.0], np.float32),
    }


EXACT = prediction(
    [
        [DARK, DARK, DARK, DARK],
        [FIRST, FIRST, SECOND, SECOND],
        [FIRST, FIRST, SECOND, SECOND],
        [0, 0, MIDDLE, 0],
    ],
    dark=0.9,
    first=0.8,
    second=0.5,
    middle=0.4,
)


def test_the_same_costs_nothing():
    costs = compare_predictions(EXACT, EXACT, INFO)
    assert costs == {SAME_CLASS: 1, SAME_SEGMENT: 1, FOUND_AGAIN: 1, SCORE_DIFFERENCE: 0}


def test_by_hand():
    """The things have swapped numbers; one is a pixel larger; the small segment is lost."""
    half = prediction(
        [
            [DARK, DARK, DARK, DARK],
            [SECOND, SECOND, FIRST, FIRST],
            [SECOND, SECOND, SECOND, FIRST],
            [0, 0, 0, 0],
        ],
        dark=0.9,
        first=0.45,
        second=0.7,
    )
    costs = compare_predictions(half, EXACT, INFO)
    assert costs[SAME_CLASS] == 15 / 16
    # 4 dark, 4 of the first thing, 3 of the second, 3 void.
    assert costs[SAME_SEGMENT] == 14 / 16
    assert costs[FOUND_AGAIN] == 3 / 4
    assert costs[SCORE_DIFFERENCE] == pytest.approx(0.1)


def test_half_of_a_segment_is_another_one():
    halved = np.copy(EXACT["panoptic"])
    halved[0, :2] = MIDDLE  # IoU 1/2 with the stuff that was there.
    costs = compare_predictions({**EXACT, "panoptic": halved}, EXACT, INFO)
    assert costs[SAME_CLASS] == 14 / 16
    # Neither stuff is found again, although 3 of its pixels are as before.
    assert (costs[SAME_SEGMENT], costs[FOUND_AGAIN]) == (11 / 16, 2 / 4)


def test_where_nothing_is_found_no_segment_is_measured():
    void = prediction(np.zeros((2, 2)))
    assert compare_predictions(void, void, INFO) == {SAME_CLASS: 1, SAME_SEGMENT: 1}


@pytest.mark.parametrize(("names", "expected"), [(["semantic"], {SAME_CLASS: 3 / 4}), ([], {})])
def test_other_outputs(names, expected):
    exact = {name: np.ones((2, 2), np.int32) for name in names}
    half = {name: np.array([[1, 1], [1, 2]], np.int32) for name in names}
    assert compare_predictions(half, exact, INFO) == expected


def test_only_the_absurd_fails():
    rows = [CostRow(SAME_CLASS, 0.5, 0.1), CostRow(FOUND_AGAIN, 0.0, 0.0)]
    assert all(row.passed for row in rows)
    absurd = CostRow(SAME_CLASS, 0.49, 0.3)
    assert not absurd.passed
    assert not CostRow(SAME_CLASS, float("nan"), 0.3).passed
    lines = format_precision_cost([*rows, absurd]).splitlines()
    assert [line.endswith("ABSURD") for line in lines] == [False, False, False, True]

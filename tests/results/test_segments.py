"""The list of segments of a map."""

from __future__ import annotations

import dataclasses

import numpy as np

from kmax_tf.results.segments import (
    Segment,
    find_segments,
    format_segments,
    mean_thing_scores,
)
from kmax_tf.structures import DatasetInfo

INFO = DatasetInfo(
    name="toy",
    num_classes=4,
    ignore_label=0,
    label_divisor=100,
    class_ids=(1, 2, 3),
    names=("cat", "dog", "grass"),
    colors=((200, 0, 0), (0, 0, 200), (0, 200, 0)),
    is_thing=(True, True, False),
    original_ids=(17, 18, 193),
)
MAP = np.array(
    [
        [300, 300, 300, 300, 0],
        [300, 101, 101, 300, 0],
        [101, 101, 300, 207, 0],
    ],
    np.int32,
)


def test_finds_segments_with_scores() -> None:
    prediction = {
        "panoptic": MAP,
        "segment_id": np.array([207, -1, 101, 300, 205]),
        "segment_score": np.array([0.5, 0.0, 0.75, 1.0, 0.1]),
    }
    assert find_segments(prediction, INFO) == [
        Segment(300, 3, "grass", False, 1.0, 7, (0, 0, 4, 3)),
        Segment(101, 1, "cat", True, 0.75, 4, (0, 1, 3, 2)),
        Segment(207, 2, "dog", True, 0.5, 1, (3, 2, 1, 1)),
    ]


def test_scores_are_optional_and_void_is_no_segment() -> None:
    assert [segment.score for segment in find_segments({"panoptic": MAP}, INFO)] == [None] * 3
    assert find_segments({"panoptic": np.zeros([4, 4], np.int32)}, INFO) == []


def test_table() -> None:
    lines = format_segments(find_segments({"panoptic": MAP}, INFO), MAP.size).splitlines()
    assert lines[0].split()[:5] == ["segment", "class", "kind", "score", "area"]
    assert set(lines[1]) == {"-"}
    assert lines[2].split() == ["300", "grass", "stuff", "-", "46.7%", "0,", "0,", "4,", "3"]
    assert len(lines) == 5
    assert format_segments([], 10) == "no segments"


def test_scores_of_things_are_products_of_means() -> None:
    instance = np.full(MAP.shape, 0.5, np.float32)
    instance[1, 1:3] = 0.9, 0.7
    semantic = np.where(MAP == 207, 0.8, 1.0).astype(np.float32)
    scores = mean_thing_scores(MAP, instance_score=instance, semantic_score=semantic, info=INFO)
    assert set(scores) == {101, 207}
    np.testing.assert_allclose([scores[101], scores[207]], [(0.9 + 0.7 + 0.5 + 0.5) / 4, 0.4])
    # Ids far apart are numbered in another way.
    wide = dataclasses.replace(INFO, label_divisor=10**8)
    far = MAP // 100 * 10**8 + MAP % 100
    other = mean_thing_scores(far, instance_score=instance, semantic_score=semantic, info=wide)
    assert other == {10**8 + 1: scores[101], 2 * 10**8 + 7: scores[207]}
    none = mean_thing_scores(MAP[:1], instance_score=MAP[:1], semantic_score=MAP[:1], info=INFO)
    assert none == {}

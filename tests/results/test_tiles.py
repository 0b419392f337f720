"""Tiles cover an image, and their results join to what is known to be there."""

from __future__ import annotations

from typing import Dict

import numpy as np
import pytest

from kmax_tf.results.segments import find_segments
from kmax_tf.results.tiles import cut_tiles, match_segments, merge_tiles
from tests.results.test_segments import INFO

# Classes of INFO: 1 cat and 2 dog are things, 3 is stuff; void is 0, the divisor 100.


def world() -> np.ndarray:
    """A map of 150 x 210: long, round and touching things, stuff in two parts, void."""
    rows, columns = np.mgrid[:150, :210]
    truth = np.full((150, 210), 300)
    truth[:8] = 0
    truth[70:78, 5:200] = 101  # through all tiles of a row
    truth[20:140, 100:108] = 201  # crosses it
    for number, (row, column) in enumerate([(30, 30), (30, 60), (110, 52), (110, 76)], start=2):
        truth[(rows - row) ** 2 + (columns - column) ** 2 < 150] = 100 + number
    return truth


def see(part: np.ndarray, seed: int) -> Dict[str, np.ndarray]:
    """What a network that is always right, but numbers things as it likes, gives for a tile."""
    random = np.random.default_rng(seed)
    numbers = random.permutation(90) + 1
    is_thing = (part // 100 != 3) & (part % 100 > 0)
    panoptic = np.where(is_thing, part // 100 * 100 + numbers[part % 100], part)
    ids = np.unique(panoptic[panoptic > 0])
    score = np.full(len(ids) + 2, 0.5, np.float32)
    return {
        "panoptic": panoptic,
        "semantic": np.where(part == 0, 300, part) // 100,
        "segment_id": np.append(ids, [-1, -1]),
        "segment_score": score,
    }


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two maps divide their pixels in the same way."""
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(first)) == len(np.unique(second))


@pytest.mark.parametrize(
    "size, tile", [((150, 210), (64, 64)), ((64, 64), (64, 80)), ((65, 300), (64, 64))]
)
def test_own_parts_cover_each_pixel_once(size, tile):
    tiles = cut_tiles(size, tile=tile, overlap=16)
    covered = np.zeros(size, int)
    for each in tiles:
        covered[slice(*each.own_rows), slice(*each.own_columns)] += 1
        assert each.rows[0] <= each.own_rows[0] < each.own_rows[1] <= each.rows[1]
        assert each.cut(covered).shape == (min(size[0], tile[0]), min(size[1], tile[1]))
        # Away from the border of the image at least half the overlap is left out.
        for seen, own, side in zip(
            (each.rows, each.columns), (each.own_rows, each.own_columns), size
        ):
            assert own[0] - seen[0] >= 8 * (seen[0] > 0)
            assert seen[1] - own[1] >= 8 * (seen[1] < side)
    np.testing.assert_array_equal(covered, 1)


@pytest.mark.parametrize("tile, overlap", [((64, 64), 16), ((150, 70), 30), ((100, 100), 60)])
def test_tiles_join_to_the_known_map(tile, overlap):
    truth = world()
    tiles = cut_tiles(truth.shape, tile=tile, overlap=overlap)
    assert len(tiles) > 3
    merged = merge_tiles(tiles, [see(t.cut(truth), i) for i, t in enumerate(tiles)], INFO)
    assert same_partition(merged["panoptic"], truth)
    np.testing.assert_array_equal(merged["panoptic"] // 100, truth // 100)
    np.testing.assert_array_equal(merged["semantic"], np.where(truth == 0, 300, truth) // 100)
    segments = find_segments(merged, INFO)
    assert len(segments) == 7
    assert {s.segment_id % 100 for s in segments if s.class_id == 1} == {1, 2, 3, 4, 5}
    assert all(s.score == pytest.approx(0.5) for s in segments)


def test_scores_are_weighted_by_the_pixels_that_are_used():
    tiles = cut_tiles((10, 30), tile=(10, 20), overlap=9)
    found = []
    for score in (0.2, 0.8):
        found.append(
            {
                "panoptic": np.full((10, 20), 300),
                "semantic": np.full((10, 20), 3),
                "segment_id": np.array([300]),
                "segment_score": np.array([score], np.float32),
            }
        )
    merged = merge_tiles(tiles, found, INFO)
    assert merged["segment_score"].tolist() == [pytest.approx(0.5)]
    np.testing.assert_array_equal(merged["segment_id"], [300])


def test_what_a_tile_tells_apart_stays_apart():
    # Four tiles around one spot; three of them see one thing where the first sees two. Both could
    # be joined with the others' only if the first tile's two became one.
    tiles = cut_tiles((30, 30), tile=(20, 20), overlap=10)
    found = []
    for index in range(4):
        panoptic = np.full((20, 20), 101)
        if index == 0:
            panoptic[:, 12:] = 102
            panoptic[13:, :] = 101
        found.append(
            {
                "panoptic": panoptic,
                "semantic": panoptic // 100,
                "segment_id": np.unique(panoptic),
                "segment_score": np.ones(len(np.unique(panoptic)), np.float32),
            }
        )
    merged = merge_tiles(tiles, found, INFO)["panoptic"]
    assert merged[0, 0] != merged[0, 14]
    assert len(np.unique(merged)) == 2


def test_only_things_of_one_class_match_and_only_above_one_half():
    first = np.array([[101, 101, 101, 202, 300, 0, 101]])
    second = np.array([[105, 105, 101, 105, 300, 0, 300]])
    # 2 common of 5: not above one half.
    assert match_segments(first, second, INFO) == []
    second = np.array([[105, 105, 105, 105, 300, 0, 300]])
    # 3 common of 5. The dog under the cat, stuff and void do not match.
    assert match_segments(first, second, INFO) == [(3, 101, 105)]


def test_errors():
    with pytest.raises(ValueError, match=r"`tile_overlap` must be in 1..31.*received 32"):
        cut_tiles((100, 100), tile=(32, 64), overlap=32)
    with pytest.raises(ValueError, match=r"`tile_overlap`.*received 0"):
        cut_tiles((100, 100), tile=(32, 64), overlap=0)
    tiles = cut_tiles((100, 100), tile=(50, 50), overlap=2)
    cats = np.repeat(np.arange(101, 151), 50).reshape(50, 50)
    found = {
        "panoptic": cats,
        "semantic": cats // 100,
        "segment_id": np.unique(cats),
        "segment_score": np.ones(50),
    }
    with pytest.raises(ValueError, match=r"`label_divisor` of the data set.*100.*'cat'"):
        merge_tiles(tiles, [found] * len(tiles), INFO)

"""Names in pictures."""

from __future__ import annotations

import numpy as np

from kmax_tf.results.captions import write_captions

COLORS = np.array([[250, 40, 40], [40, 40, 250]], np.uint8)


def test_names_are_written_into_their_regions_only() -> None:
    picture = np.full([200, 400, 3], 128, np.uint8)
    regions = np.ones([200, 400], np.int32)
    regions[:, 200:] = 2
    written = write_captions(picture, regions, ["left", ""], COLORS)
    changed = np.any(written != picture, axis=-1)
    assert changed[:, :200].sum() > 400
    assert not changed[:, 200:].any()
    # White letters on a dark plate.
    assert written[:, :200].max() > 240
    assert written[:, :200].min() < 60


def test_small_regions_of_large_pictures_are_named_too() -> None:
    regions = np.zeros([1600, 2400], np.int32)
    regions[:800] = 1
    regions[1000:1060, 1000:1060] = 2
    picture = np.full([1600, 2400, 3], 128, np.uint8)
    written = write_captions(picture, regions, ["sky", "cup"], COLORS)
    heights = []
    for region in (1, 2):
        lines = np.any((written != picture).any(axis=-1) & (regions == region), axis=1)
        heights.append(lines.sum())
    assert heights[0] >= 50  # Read when the whole picture is seen.
    assert 14 <= heights[1] <= 40


def test_tiny_regions_stay_without_name() -> None:
    picture = np.full([100, 100, 3], 128, np.uint8)
    regions = np.zeros([100, 100], np.int32)
    regions[:5, :5] = 1
    np.testing.assert_array_equal(write_captions(picture, regions, ["dot"], COLORS[:1]), picture)

"""Colours and outlines of regions."""

from __future__ import annotations

import numpy as np

from kmax_tf.results import regions
from kmax_tf.results.segments import find_segments
from tests.results.test_segments import INFO, MAP


def test_region_map_counts_from_one_and_void_is_zero() -> None:
    segments = find_segments({"panoptic": MAP}, INFO)
    result = regions.region_map(MAP, segments)
    expected = np.select([MAP == 300, MAP == 101, MAP == 207], [1, 2, 3], 0)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(regions.region_map(MAP, segments[:1]), MAP == 300)


def test_enlarged_regions_keep_their_area_and_smooth_their_border() -> None:
    rows, columns = np.mgrid[:40, :40]
    small = ((rows - 20) ** 2 + (columns - 20) ** 2 < 150).astype(np.int32) * 7
    large = regions.enlarge_regions(small, (160, 160))
    assert set(np.unique(large)) == {0, 7}
    assert abs((large == 7).mean() - (small == 7).mean()) < 0.01
    rows, columns = np.mgrid[:160, :160]
    circle = (rows - 81.5) ** 2 + (columns - 81.5) ** 2 < 16 * 150
    staircase = np.repeat(np.repeat(small, 4, 0), 4, 1) == 7
    assert ((large == 7) != circle).sum() < (staircase != circle).sum()
    assert regions.enlarge_regions(small, (40, 40)) is small


def test_painting_colors_outlines_and_void() -> None:
    image = np.full([60, 90, 3], 100, np.uint8)
    numbers = np.zeros([60, 90], np.int32)
    numbers[:, 30:60], numbers[:, 60:] = 1, 2
    colors = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)
    painted = regions.paint_regions(image, numbers, colors, opacity=0.5, scale=1)
    np.testing.assert_array_equal(painted[30, 45], [150, 50, 50])
    np.testing.assert_array_equal(painted[30, 75], [50, 150, 50])
    assert painted[30, 59].min() > 230
    # A rim in the region's own, darker colour beside the light line.
    assert painted[30, 57, 0] > 100 > 60 > painted[30, 57, 1]
    void = painted[5:55, 5:25].reshape(-1, 3)
    assert len(np.unique(void, axis=0)) == 2


def test_dilate() -> None:
    mask = np.zeros([7, 7], bool)
    mask[3, 3] = True
    assert regions.dilate(mask, 0).sum() == 1
    assert regions.dilate(mask, 1).sum() == 5
    assert regions.dilate(mask, 2).sum() == 21

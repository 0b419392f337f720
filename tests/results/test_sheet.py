"""Pictures in rows and columns, and the strips around them."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.results import sheet


def test_grid() -> None:
    image = np.random.default_rng(1).integers(0, 255, [97, 129, 3]).astype(np.uint8)
    grid = sheet.draw_grid([np.zeros([10, 20, 3], np.uint8)] * 3 + [image], padding=2)
    assert grid.shape == (10 + 97 + 6, 20 + 129 + 6, 3)
    np.testing.assert_array_equal(grid[14:111, 24:153], image)
    assert sheet.draw_grid([image], padding=0).shape == image.shape
    with pytest.raises(ValueError, match="at least one picture"):
        sheet.draw_grid([])


def test_title_is_written_above() -> None:
    picture = np.full([30, 200, 3], 90, np.uint8)
    titled = sheet.add_title(picture, "title")
    np.testing.assert_array_equal(titled[-30:], picture)
    assert titled[:-30].min() < 60 and titled[:-30, 150:].min() == 255


def test_titles_of_large_and_narrow_pictures_can_be_read() -> None:
    small = sheet.add_title(np.zeros([480, 480, 3], np.uint8), "title")
    large = sheet.add_title(np.zeros([2000, 3000, 3], np.uint8), "title")
    ink = [
        np.argwhere(made.min(axis=-1)[:-size] < 128) for made, size in ((small, 480), (large, 2000))
    ]
    heights = [np.ptp(rows[:, 0]) + 1 for rows in ink]
    assert heights[1] > 3 * heights[0]
    wide = sheet.add_title(np.zeros([50, 400, 3], np.uint8), "ground truth")
    narrow = sheet.add_title(np.zeros([50, 8, 3], np.uint8), "ground truth")
    width = narrow.shape[1]
    np.testing.assert_array_equal(narrow[:-50], wide[:-50, :width])
    assert wide[:-50, width:].min() == 255
    assert (narrow[-50:, :8] == 0).all() and (narrow[-50:, 8:] == 255).all()


@pytest.mark.parametrize(
    "size, expected", [((50, 100), (40, 80)), ((10, 5), (80, 40)), ((1, 900), (1, 80))]
)
def test_pictures_fit(size, expected) -> None:
    picture = np.full([*size, 3], 70, np.uint8)
    fitted = sheet.fit_picture(picture, 80)
    assert fitted.shape == (*expected, 3)
    assert (fitted == 70).all()
    assert sheet.resize_picture(picture, size) is picture


def test_strips_keep_their_width() -> None:
    strips = [np.zeros([5, 40, 3], np.uint8), np.zeros([7, 40, 3], np.uint8)]
    framed = sheet.frame_strips(strips, top=3)
    assert framed.shape == (3 + 5 + 10 + 7 + 10 + 8, 40 + 36, 3)
    dark = np.flatnonzero((framed == 0).all(axis=-1).any(axis=1))
    assert dark.tolist() == [*range(3, 8), *range(18, 25)]

"""Sheets: pictures in rows and columns on white, with margins, titles and strips of text."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from kmax_tf.results.fonts import font_for
from kmax_tf.results.legend import INK, PAPER


def fit_picture(picture: np.ndarray, longer_side: int) -> np.ndarray:
    """Enlarges or reduces a picture uint8 [H, W, 3] so that its longer side is `longer_side`."""
    ratio = longer_side / max(picture.shape[:2])
    height, width = (max(1, round(side * ratio)) for side in picture.shape[:2])
    return resize_picture(picture, (height, width))


def resize_picture(
    picture: np.ndarray, size: Tuple[int, int], *, how: Optional[Image.Resampling] = None
) -> np.ndarray:
    """Resizes a picture uint8 [H, W, 3] to height and width `size`, the way that suits or `how`."""
    if picture.shape[:2] == tuple(size):
        return picture
    if how is None:
        how = Image.Resampling.LANCZOS if size[0] < picture.shape[0] else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), how))


def add_title(picture: np.ndarray, title: str) -> np.ndarray:
    """Puts a line of text above a picture uint8 [H, W, 3]; the result is uint8 [H + h, W', 3].

    Large pictures are seen reduced, so their titles are larger. Pictures that are narrower than
    their title get a margin.
    """
    scale = max(1.0, max(picture.shape[:2]) / 800)
    font = font_for(title, round(20 * scale))
    height = round(38 * scale)
    missing = max(0, math.ceil(font.getlength(title)) + 4 - picture.shape[1])
    picture = np.pad(picture, [(0, 0), (0, missing), (0, 0)], constant_values=255)
    strip = Image.new("RGB", (picture.shape[1], height), PAPER)
    ImageDraw.Draw(strip).text((2, height // 2), title, fill=INK, font=font, anchor="lm")
    return np.concatenate([np.asarray(strip), picture])


def draw_grid(
    pictures: Sequence[np.ndarray], *, columns: Optional[int] = None, padding: int = 12
) -> np.ndarray:
    """Puts pictures into rows and columns on white.

    Args:
      pictures: uint8 [H_i, W_i, 3] each.
      columns: pictures per row; nearly square where it is not given.
      padding: pixels around each picture.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("`pictures` must hold at least one picture; received none.")
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(len(rows[0]))]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    grid = np.full(
        (sum(heights) + padding * (len(rows) + 1), sum(widths) + padding * (len(widths) + 1), 3),
        255,
        np.uint8,
    )
    top = padding
    for row, height in zip(rows, heights):
        left = padding
        for picture, width in zip(row, widths):
            grid[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += width + padding
        top += height + padding
    return grid


def frame_strips(strips: Sequence[np.ndarray], *, top: int) -> np.ndarray:
    """Puts strips of equal width below one another on white, with a margin around them.

    Args:
      strips: uint8 [h_i, w, 3] each.
      top: pixels above the first one.

    Returns:
      uint8 [h, w + 36, 3].
    """
    spaced = [np.pad(s, [(0, 10), (0, 0), (0, 0)], constant_values=255) for s in strips]
    return np.pad(np.concatenate(spaced), [(top, 8), (18, 18), (0, 0)], constant_values=255)

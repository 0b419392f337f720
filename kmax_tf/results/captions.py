"""Names of segments, written legibly into a picture."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from kmax_tf.results.fonts import font_for
from kmax_tf.results.label_placement import Box, LabelPlacer

_FONT_SIZES = (22, 20, 18, 16, 14, 12)
_PAD_X, _PAD_Y = 6, 3
# Drawn larger and reduced, for smooth corners.
_SMOOTHING = 4
# Regions with fewer pixels get no name.
_SMALLEST_REGION = 200


def write_captions(
    picture: np.ndarray, regions: np.ndarray, captions: Sequence[str], colors: np.ndarray
) -> np.ndarray:
    """Writes one name into each region that has room for it.

    Small regions choose their place first: large ones have more places to go.

    Args:
      picture: uint8 [H, W, 3].
      regions: int32 [H, W], numbered from 1.
      captions: one per region.
      colors: uint8 [number of regions, 3].

    Returns:
      uint8 [H, W, 3].
    """
    areas = np.bincount(regions.ravel(), minlength=len(captions) + 1)[1:]
    scale = min(max(min(regions.shape) / 640, 1.0), 2.5)
    placer = LabelPlacer(regions)
    placed: List[Tuple[int, int, Box]] = []
    for index in np.argsort(areas, kind="stable").tolist():
        if areas[index] < _SMALLEST_REGION or not captions[index]:
            continue
        fonts = _font_sizes(int(areas[index]), scale)
        caption = captions[int(index)]
        sizes = [_chip_size(caption, font) for font in fonts]
        choice = placer.place(index + 1, sizes, min_inside=0.97, last_inside=0.4)
        if choice is not None:
            placed.append((index, fonts[choice.size_index], choice.box))
    image = Image.fromarray(picture)
    for index, font, box in placed:
        _draw_chip(image, captions[index], font, box, colors[index])
    return np.asarray(image)


def _font_sizes(area: int, scale: float) -> Sequence[int]:
    """Sizes to try, the largest that suits the region first; large pictures get larger text.

    Where that has no room, the plain sizes follow: they are read when the picture is zoomed into.
    """
    sizes = sorted({round(size * factor) for size in _FONT_SIZES for factor in (scale, 1.0)})
    return [size for size in reversed(sizes) if size <= area**0.5 / 6] or sizes[:1]


def _chip_size(caption: str, font_size: int) -> Tuple[int, int]:
    width = font_for(caption, font_size).getlength(caption)
    return round(width) + 2 * _PAD_X, round(1.15 * font_size) + 2 * _PAD_Y


def _draw_chip(
    image: Image.Image, caption: str, font_size: int, box: Box, color: np.ndarray
) -> None:
    """A rounded plate in a dark shade of the segment's colour, with light text."""
    plate = tuple(round(0.3 * float(channel) + 6) for channel in color)
    large = (box.width * _SMOOTHING, box.height * _SMOOTHING)
    mask = Image.new("L", large, 0)
    radius = 0.32 * box.height * _SMOOTHING
    corners = (0, 0, large[0] - 1, large[1] - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corners, radius=radius, fill=225)
    mask = mask.resize((box.width, box.height), Image.Resampling.BOX)
    image.paste(plate, (box.left, box.top), mask)
    ImageDraw.Draw(image).text(
        (box.left + box.width / 2, box.top + box.height / 2),
        caption,
        fill=(255, 255, 255),
        font=font_for(caption, font_size),
        anchor="mm",
    )

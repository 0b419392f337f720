"""Reads the `segmentation` of a COCO instance annotation: polygons or run lengths."""

from __future__ import annotations

import reprlib
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from pycocotools import mask as coco_mask

_LARGEST_COORDINATE = 1e5
_LONGEST_OUTLINE = 2e6  # pycocotools walks along the outline, in memory: 60 bytes a pixel
_MOST_DIGITS = 10  # of a compressed run length: 50 bits


class InstanceMask(NamedTuple):
    """The pixels of one instance, kept compressed: an image may have hundreds of them.

    Attributes:
      run_lengths: as of pycocotools.
      area: number of pixels, at least 1.
    """

    run_lengths: Dict[str, Any]
    area: int

    def pixels(self) -> np.ndarray:
        """bool [height, width]."""
        return coco_mask.decode(self.run_lengths).astype(bool)


def read_segmentation(segmentation: Any, height: int, width: int) -> Optional[InstanceMask]:
    """Turns a segmentation into a mask, exactly as pycocotools does.

    pycocotools itself takes a polygon of two points for a box, reads beyond what it is given where
    run lengths do not add up, and fails on an empty list: all of that is caught here.

    Args:
      segmentation: list of polygons [x, y, x, y, ...], or run lengths `{"size": [height, width],
        "counts": list or compressed text}`. Polygons of less than three points have no pixels.
      height: of the image.
      width: of the image.

    Returns:
      The mask, or None if it has no pixels.

    Raises:
      ValueError: neither of both, or one that does not fit the image; a clause to go on with
        after the name of the annotation.
    """
    if isinstance(segmentation, dict):
        counts = _checked_counts(segmentation, height, width)
        run_lengths = {"size": [height, width], "counts": counts}
        run_lengths = coco_mask.frPyObjects(run_lengths, height, width)
    elif isinstance(segmentation, list):
        polygons = [_checked_polygon(polygon) for polygon in segmentation]
        polygons = [polygon for polygon in polygons if len(polygon) >= 6]
        if not polygons:
            return None
        run_lengths = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    else:
        raise ValueError(
            "`segmentation` must be a list of polygons or an object of run lengths; it is a "
            f"{type(segmentation).__name__}"
        )
    area = int(coco_mask.area(run_lengths))
    return InstanceMask(run_lengths, area) if area else None


def _checked_polygon(polygon: Any) -> List[float]:
    """Raises ValueError where pycocotools would misread a polygon."""
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError(
            "every polygon of `segmentation` must be a list x, y, x, y, ... of even length; "
            f"received {reprlib.repr(polygon)}"
        )
    for value in polygon:
        # The comparison is also false of NaN.
        if not (isinstance(value, (int, float)) and abs(value) <= _LARGEST_COORDINATE):
            raise ValueError(
                f"coordinates of `segmentation` must be numbers of at most "
                f"{_LARGEST_COORDINATE:.0f}; received {reprlib.repr(value)}"
            )
    points = np.array(polygon, np.float64).reshape(-1, 2)
    outline = float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1, initial=0).sum())
    if outline > _LONGEST_OUTLINE:
        raise ValueError(
            f"the outline of a polygon may have {_LONGEST_OUTLINE:.0f} pixels; one of "
            f"{len(points)} points has {outline:.0f}"
        )
    return polygon


def _checked_counts(segmentation: Dict[str, Any], height: int, width: int) -> List[int]:
    """Run lengths as a list; they must add up to the pixels of the image."""
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            f"`size` of the run lengths must be that of the image, [{height}, {width}]; received "
            f"{reprlib.repr(segmentation.get('size'))}"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _decompress(counts)
    numbers = isinstance(counts, list) and all(isinstance(c, int) and c >= 0 for c in counts)
    if not (numbers and sum(counts) == height * width):
        raise ValueError(
            "`counts` of the run lengths must be numbers, or their compressed text, that add up to "
            f"the {height * width} pixels of the image"
        )
    return counts


def _decompress(text: str) -> Optional[List[int]]:
    """Run lengths from COCO's text, None if it is not one.

    A number is written in digits of five bits, the lowest first, from the character `0` on; the
    sixth bit says that more follow, the highest bit of the last digit is the sign. From the fourth
    number on it is the difference to the one before the last.
    """
    counts: List[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift >= 5 * _MOST_DIGITS:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value = shift = 0
    return None if shift else counts

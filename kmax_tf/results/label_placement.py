"""Where the names of segments go in a picture: inside their segment, never on one another."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int


class Choice(NamedTuple):
    """One way to write a name: its index among the offered sizes, and its place."""

    size_index: int
    box: Box


def interior_distance(labels: np.ndarray) -> np.ndarray:
    """How deep each pixel lies inside its region, picture border included.

    Args:
      labels: int [h, w].

    Returns:
      int32 [h, w], steps to the nearest pixel of another region (octagonal metric), from 1.
    """
    same = np.ones(labels.shape, bool)
    for axis in (0, 1):
        change = np.diff(labels, axis=axis) != 0
        before = [slice(None)] * 2
        after = [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        same[tuple(before)] &= ~change
        same[tuple(after)] &= ~change
    depth = np.ones(labels.shape, np.int32)
    alive = np.pad(same[1:-1, 1:-1], 1) if min(labels.shape) > 2 else np.zeros_like(same)
    square = False
    while alive.any():
        depth += alive
        alive = _erode(alive, square=square)
        square = not square
    return depth


def _erode(mask: np.ndarray, *, square: bool) -> np.ndarray:
    """Removes the border pixels of a mask; `square` counts diagonal neighbours too."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    if square:
        return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return rows[:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


class LabelPlacer:
    """Finds places for names, one segment after the other.

    Works on a reduced copy of the map, so that a search over all places is cheap.

    Args:
      labels: int [H, W], region of each pixel of the picture.
      reduced_side: longest side of the reduced copy.
      margin: pixels to keep between two names.
    """

    def __init__(self, labels: np.ndarray, *, reduced_side: int = 256, margin: int = 3) -> None:
        self._size = labels.shape
        self._step = max(1, -(-max(labels.shape) // reduced_side))
        offset = self._step // 2
        self._labels = labels[offset :: self._step, offset :: self._step]
        self._depth = interior_distance(self._labels)
        self._taken = np.zeros(self._labels.shape, np.int32)
        self._margin = margin

    def place(
        self, label: int, sizes: Sequence[Tuple[int, int]], *, min_inside: float, last_inside: float
    ) -> Optional[Choice]:
        """Finds the place of one name and reserves it.

        Args:
          label: the region.
          sizes: (width, height) of the name in its font sizes, the preferred one first.
          min_inside: share of the name that has to lie inside the region ...
          last_inside: ... and the share that suffices for the last size.

        Returns:
          Size and place, or None when there is none.
        """
        mask = self._labels == label
        for index, (width, height) in enumerate(sizes):
            needed = last_inside if index == len(sizes) - 1 else min_inside
            box = self._best_box(mask, width, height, needed)
            if box is not None:
                self._reserve(box)
                return Choice(index, box)
        return None

    def _best_box(self, mask: np.ndarray, width: int, height: int, needed: float) -> Optional[Box]:
        """The free place with the largest share inside; among equals the deepest centre."""
        margin, step = self._margin, self._step
        box_height = -(-(height + 2 * margin) // step)
        box_width = -(-(width + 2 * margin) // step)
        if box_height > mask.shape[0] or box_width > mask.shape[1]:
            return None
        inside = _box_sums(mask, box_height, box_width) / (box_height * box_width)
        free = _box_sums(self._taken > 0, box_height, box_width) == 0
        center = (slice(box_height // 2, None), slice(box_width // 2, None))
        shape = inside.shape
        depth = np.where(mask, self._depth, 0)[center][: shape[0], : shape[1]]
        allowed = free & (inside >= needed) & (depth > 0)
        if not allowed.any():
            return None
        # A fully covered place deep inside beats one that merely fits along an edge; among equals
        # the one nearest to the middle of the region looks best.
        rows, columns = np.nonzero(mask)
        row_offset = np.arange(shape[0])[:, np.newaxis] + box_height / 2 - rows.mean()
        column_offset = np.arange(shape[1]) + box_width / 2 - columns.mean()
        off_center = np.hypot(row_offset, column_offset) / max(mask.shape)
        score = np.minimum(inside, 0.98) * 1000 + depth - 4 * off_center
        score = np.where(allowed, score, -np.inf)
        row, column = np.unravel_index(int(score.argmax()), shape)
        left = min(int(column) * step + margin, self._size[1] - width - margin)
        top = min(int(row) * step + margin, self._size[0] - height - margin)
        return Box(max(left, 0), max(top, 0), width, height)

    def _reserve(self, box: Box) -> None:
        step, margin = self._step, self._margin
        rows = slice(
            max(0, (box.top - margin) // step), (box.top + box.height + margin) // step + 1
        )
        columns = slice(
            max(0, (box.left - margin) // step), (box.left + box.width + margin) // step + 1
        )
        self._taken[rows, columns] += 1


def _box_sums(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Number of set pixels in the box that starts at each place where it fits."""
    table = np.pad(mask.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return (
        table[height:, width:]
        - table[:-height, width:]
        - table[height:, :-width]
        + table[:-height, :-width]
    )

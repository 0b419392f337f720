"""Very large images in tiles: where they lie, and how their results become one.

Neighbouring tiles overlap. A pixel is taken from the tile in which it lies deepest, so that the
border of a tile, where a network sees the least, never shows. Stuff is joined by its class. Things
of two tiles are the same when they are of one class and, among the pixels that both tiles see,
their IoU is above 1/2: at most one partner has that, because the segments of a map do not overlap.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.structures import DatasetInfo

_SAME_THING = 0.5

Interval = Tuple[int, int]
Thing = Tuple[int, int]
"""Index of the tile, and panoptic id in it."""


class Tile(NamedTuple):
    """A part of an image; each pair is first and last + 1.

    Attributes:
      rows: of the image, what the network sees.
      columns: the same.
      own_rows: what of the result is used; the own parts of all tiles cover each pixel once.
      own_columns: the same.
    """

    rows: Interval
    columns: Interval
    own_rows: Interval
    own_columns: Interval

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The part of an image [H, W, ...] that the network sees; a view."""
        return image[slice(*self.rows), slice(*self.columns)]


def cut_tiles(size: Sequence[int], *, tile: Sequence[int], overlap: int) -> List[Tile]:
    """Divides an image into tiles of one size, evenly spread; less where the image is smaller.

    Args:
      size: height and width of the image.
      tile: height and width of a tile.
      overlap: the fewest pixels that two neighbours share.

    Raises:
      ValueError: the overlap is not positive, or not smaller than the tile.
    """
    if not 1 <= overlap < min(tile):
        raise ValueError(
            f"`tile_overlap` must be in 1..{min(tile) - 1}, below the sides of `tile` "
            f"{tuple(tile)}; received {overlap}."
        )
    rows, columns = (_cut_side(side, part, overlap) for side, part in zip(size, tile))
    return [
        Tile(seen_rows, seen_columns, own_rows, own_columns)
        for seen_rows, own_rows in rows
        for seen_columns, own_columns in columns
    ]


def _cut_side(size: int, tile: int, overlap: int) -> List[Tuple[Interval, Interval]]:
    """What is seen and what is used of each tile along one side."""
    if tile >= size:
        return [((0, size), (0, size))]
    count = -(-(size - overlap) // (tile - overlap))
    starts = [i * (size - tile) // (count - 1) for i in range(count)]
    seams = [(start + tile + after) // 2 for start, after in zip(starts, starts[1:])]
    edges = [0, *seams, size]
    return [((start, start + tile), own) for start, own in zip(starts, zip(edges, edges[1:]))]


def merge_tiles(
    tiles: Sequence[Tile], found: Sequence[Mapping[str, np.ndarray]], info: DatasetInfo
) -> Dict[str, np.ndarray]:
    """Joins the results of the tiles of one image.

    Args:
      tiles: of `cut_tiles`.
      found: of each tile `panoptic` and `semantic` int32 [h, w], `segment_id` int32 [Q], -1 unused,
        and `segment_score` float32 [Q].
      info: classes of the data set.

    Returns:
      The same for the image: maps int32 [H, W] and rows [S]. Things are numbered from 1 per class;
      a score is the mean of those of the parts, weighted by their pixels.

    Raises:
      ValueError: there are more things of a class than the label divisor has numbers for.
    """
    height, width = tiles[-1].rows[1], tiles[-1].columns[1]
    merged = {name: np.zeros((height, width), np.int32) for name in ("panoptic", "semantic")}
    group_of = _group_things(tiles, [each["panoptic"] for each in found], info)
    value_of_group: Dict[Thing, int] = {}
    count: Dict[int, int] = {}
    weight: Dict[int, float] = {}
    total: Dict[int, float] = {}
    for index, (tile, each) in enumerate(zip(tiles, found)):
        place = (slice(*tile.own_rows), slice(*tile.own_columns))
        inside = tuple(
            slice(own[0] - seen[0], own[1] - seen[0])
            for own, seen in ((tile.own_rows, tile.rows), (tile.own_columns, tile.columns))
        )
        merged["semantic"][place] = each["semantic"][inside]
        ids, positions, areas = np.unique(
            each["panoptic"][inside], return_inverse=True, return_counts=True
        )
        scores = dict(zip(each["segment_id"].tolist(), each["segment_score"].tolist()))
        values = []
        for segment_id, area in zip(ids.tolist(), areas.tolist()):
            value = segment_id
            if _is_thing(segment_id, info):
                group = group_of[(index, segment_id)]
                if group not in value_of_group:
                    value_of_group[group] = _next_id(segment_id, count, info)
                value = value_of_group[group]
            values.append(value)
            weight[value] = weight.get(value, 0) + area
            total[value] = total.get(value, 0.0) + area * scores.get(segment_id, 0.0)
        table = np.array(values, np.int32)
        merged["panoptic"][place] = table[positions].reshape(merged["panoptic"][place].shape)
    rows = sorted(set(weight) - {info.void_panoptic})
    return {
        **merged,
        "segment_id": np.array(rows, np.int32),
        "segment_score": np.array([total[row] / weight[row] for row in rows], np.float32),
    }


def _is_thing(segment_id: int, info: DatasetInfo) -> bool:
    """Whether the segment has an instance number."""
    is_thing = labels.class_of(segment_id, info.label_divisor) in info.thing_ids
    return is_thing and labels.instance_of(segment_id, info.label_divisor) > 0


def _next_id(segment_id: int, count: Dict[int, int], info: DatasetInfo) -> int:
    """The panoptic id of a further thing of the class of `segment_id`."""
    class_id = labels.class_of(segment_id, info.label_divisor)
    count[class_id] = count.get(class_id, 0) + 1
    if count[class_id] >= info.label_divisor:
        raise ValueError(
            f"The `label_divisor` of the data set ({info.label_divisor}) must be larger than the "
            f"number of things of a class in the whole image; there are more of class "
            f"{info.name_of(class_id)!r}: leave out `tile`, or cut the image."
        )
    return labels.panoptic_id(class_id, count[class_id], info.label_divisor)


def _group_things(
    tiles: Sequence[Tile], maps: Sequence[np.ndarray], info: DatasetInfo
) -> Dict[Thing, Thing]:
    """Which things are the same: thing -> the thing that stands for its group.

    Pairs with many common pixels are joined first, and a group never gets two things of one tile:
    what a tile tells apart stays apart.
    """
    members: Dict[Thing, Set[Thing]] = {}
    for index, panoptic in enumerate(maps):
        for segment_id in np.unique(panoptic).tolist():
            if _is_thing(segment_id, info):
                members[(index, segment_id)] = {(index, segment_id)}
    for _, first, second in sorted(_same_things(tiles, maps, info), reverse=True):
        group, other = members[first], members[second]
        if {tile for tile, _ in group}.isdisjoint(tile for tile, _ in other):
            group |= other
            for thing in other:
                members[thing] = group
    return {thing: min(group) for thing, group in members.items()}


def _same_things(
    tiles: Sequence[Tile], maps: Sequence[np.ndarray], info: DatasetInfo
) -> List[Tuple[int, Thing, Thing]]:
    """Pairs of things of two tiles that are the same, with the number of common pixels."""
    pairs = []
    for i, first in enumerate(tiles):
        for j in range(i + 1, len(tiles)):
            second = tiles[j]
            rows = _intersect(first.rows, second.rows)
            columns = _intersect(first.columns, second.columns)
            if rows[0] >= rows[1] or columns[0] >= columns[1]:
                continue
            one = _part(maps[i], first, rows, columns)
            other = _part(maps[j], second, rows, columns)
            pairs += [(common, (i, a), (j, b)) for common, a, b in match_segments(one, other, info)]
    return pairs


def match_segments(
    first: np.ndarray, second: np.ndarray, info: DatasetInfo
) -> List[Tuple[int, int, int]]:
    """Things of one class in two maps of the same pixels whose IoU is above 1/2.

    Args:
      first: int [h, w], panoptic ids.
      second: the same.
      info: classes of the data set.

    Returns:
      Common pixels, id in `first` and id in `second` of each pair; an id is in one pair at most.
    """
    areas = [
        dict(zip(*(v.tolist() for v in np.unique(m, return_counts=True)))) for m in (first, second)
    ]
    both = np.stack([np.ravel(first), np.ravel(second)])
    pairs, common = np.unique(both, axis=1, return_counts=True)
    matched = []
    for (a, b), pixels in zip(pairs.T.tolist(), common.tolist()):
        same_class = labels.class_of(a, info.label_divisor) == labels.class_of(
            b, info.label_divisor
        )
        if not (same_class and _is_thing(a, info) and _is_thing(b, info)):
            continue
        if pixels > _SAME_THING * (areas[0][a] + areas[1][b] - pixels):
            matched.append((pixels, a, b))
    return matched


def _intersect(one: Interval, other: Interval) -> Interval:
    return max(one[0], other[0]), min(one[1], other[1])


def _part(panoptic: np.ndarray, tile: Tile, rows: Interval, columns: Interval) -> np.ndarray:
    """The pixels of a tile's map that lie in rows and columns of the image."""
    top, left = tile.rows[0], tile.columns[0]
    return panoptic[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]

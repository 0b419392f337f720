"""The segments of a panoptic map as a list, and as a table for a terminal."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.structures import DatasetInfo

# Up to this range of ids a table is faster than sorting the pixels.
_LARGEST_TABLE = 2**23


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
      segment_id: its value in the panoptic map.
      class_id: data-set class id.
      name: of the class.
      is_thing: of the class.
      score: confidence in 0..1, None where the map came without scores.
      area: pixels.
      box: x, y, width, height in pixels, as in COCO.
    """

    segment_id: int
    class_id: int
    name: str
    is_thing: bool
    score: Optional[float]
    area: int
    box: Tuple[int, int, int, int]


def find_segments(prediction: Mapping[str, Any], info: DatasetInfo) -> List[Segment]:
    """Lists the segments of one image.

    Args:
      prediction: `panoptic` int [H, W], and optionally the rows `segment_id` int [Q] and
        `segment_score` float [Q] that name the scores; arrays or tensors.
      info: classes of the data set.

    Returns:
      The segments that have pixels, the largest first; void is not a segment.
    """
    panoptic = np.asarray(prediction["panoptic"])
    scores = {}
    if "segment_id" in prediction and "segment_score" in prediction:
        rows = zip(
            np.asarray(prediction["segment_id"]).tolist(),
            np.asarray(prediction["segment_score"]).tolist(),
        )
        scores = {segment_id: score for segment_id, score in rows if segment_id >= 0}
    ids, areas, boxes = measure_segments(panoptic)
    segments = []
    for segment_id, area, box in zip(ids.tolist(), areas.tolist(), boxes.tolist()):
        class_id = labels.class_of(segment_id, info.label_divisor)
        if segment_id == info.void_panoptic or class_id == info.ignore_label:
            continue
        segments.append(
            Segment(
                segment_id=segment_id,
                class_id=class_id,
                name=info.name_of(class_id),
                is_thing=class_id in info.thing_ids,
                score=scores.get(segment_id),
                area=area,
                box=tuple(box),
            )
        )
    return sorted(segments, key=lambda segment: (-segment.area, segment.segment_id))


def measure_segments(panoptic: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of a map with their areas and boxes, in one pass over the pixels.

    Args:
      panoptic: int [H, W].

    Returns:
      int [S] values, ascending; int64 [S] areas; int64 [S, 4] boxes x, y, width, height.
    """
    height, width = panoptic.shape
    ids, index = np.unique(panoptic, return_inverse=True)
    index = index.reshape(height, width)
    in_row = np.zeros((len(ids), height), bool)
    in_column = np.zeros((len(ids), width), bool)
    in_row[index, np.arange(height)[:, np.newaxis]] = True
    in_column[index, np.arange(width)] = True
    top, left = in_row.argmax(axis=1), in_column.argmax(axis=1)
    bottom = height - in_row[:, ::-1].argmax(axis=1)
    right = width - in_column[:, ::-1].argmax(axis=1)
    areas = np.bincount(index.ravel(), minlength=len(ids))
    return ids, areas, np.stack([left, top, right - left, bottom - top], axis=1)


def mean_thing_scores(
    panoptic: np.ndarray,
    *,
    instance_score: np.ndarray,
    semantic_score: np.ndarray,
    info: DatasetInfo,
) -> Dict[int, float]:
    """Scores by which detections are ranked: mean class score times mean mask score of a segment.

    Args:
      panoptic: int [H, W], panoptic ids.
      instance_score: float [H, W].
      semantic_score: float [H, W].
      info: classes of the data set.

    Returns:
      Panoptic id -> score, of every thing segment.
    """
    flat = np.ravel(panoptic)
    is_thing = np.isin(labels.class_of(flat, info.label_divisor), info.thing_ids)
    pixels = np.flatnonzero(is_thing)
    if not len(pixels):
        return {}
    ids, index = _number(flat[pixels])
    areas = np.bincount(index)
    used = np.flatnonzero(areas)
    instance = np.bincount(index, np.ravel(instance_score)[pixels])[used] / areas[used]
    semantic = np.bincount(index, np.ravel(semantic_score)[pixels])[used] / areas[used]
    return dict(zip(ids[used].tolist(), (instance * semantic).tolist()))


def _number(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Ids, ascending, some of which may not occur, and the position of each of `values` in them."""
    first, last = int(values.min()), int(values.max())
    if last - first > _LARGEST_TABLE:
        ids, index = np.unique(values, return_inverse=True)
        return ids, index.reshape(-1)
    return np.arange(first, last + 1), values - first


def format_segments(segments: Sequence[Segment], num_pixels: int) -> str:
    """Lays the segments out as a table.

    Args:
      segments: in the order of the rows.
      num_pixels: of the image, for the share of each segment.

    Returns:
      Lines of equal columns, without a trailing line break.
    """
    if not segments:
        return "no segments"
    rows = [("segment", "class", "kind", "score", "area", "box (x, y, w, h)")]
    for segment in segments:
        rows.append(
            (
                str(segment.segment_id),
                segment.name,
                "thing" if segment.is_thing else "stuff",
                "-" if segment.score is None else f"{segment.score:.2f}",
                f"{100 * segment.area / num_pixels:.1f}%",
                ", ".join(str(number) for number in segment.box),
            )
        )
    return format_table(rows, to_right=(True, False, False, True, True, False))


def format_table(rows: Sequence[Sequence[str]], *, to_right: Sequence[bool]) -> str:
    """Lays cells out in columns, with a line below the first row.

    Args:
      rows: of equal length.
      to_right: per column, whether its cells end at the same place instead of beginning there.

    Returns:
      Lines of equal columns, without a trailing line break.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right)
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)

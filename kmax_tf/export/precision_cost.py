"""What a half type costs: predictions of an export beside those of the float32 model."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from kmax_tf.export.verify import DirectModel, Outputs
from kmax_tf.labels import class_of, instance_of
from kmax_tf.results.tiles import match_segments
from kmax_tf.structures import DatasetInfo

ServeOne = Callable[[np.ndarray], Mapping[str, Any]]
"""uint8 [H, W, 3] -> what an export returns for it: maps [1, h, w], rows [1, Q], `valid_size`."""

SAME_CLASS = "pixels of the same class"
SAME_SEGMENT = "pixels of the same segment"
FOUND_AGAIN = "segments that are found again"
SCORE_DIFFERENCE = "difference of a segment's score"

ABSURD_SHARE = 0.5
"""Rounding moves borders and drops segments near a threshold; it never changes most pixels."""


class CostRow(NamedTuple):
    """One measure of how much the predictions differ.

    Attributes:
      measure: `SAME_CLASS`, `SAME_SEGMENT` or `FOUND_AGAIN`, a share, or `SCORE_DIFFERENCE`.
      mean: over the images.
      worst: of an image.
    """

    measure: str
    mean: float
    worst: float

    @property
    def passed(self) -> bool:
        """False only where the two models have little in common."""
        return self.measure != SAME_CLASS or self.mean >= ABSURD_SHARE


def measure_precision_cost(
    serve: ServeOne, model: DirectModel, *, images: Sequence[np.ndarray], info: DatasetInfo
) -> List[CostRow]:
    """Compares image by image, in the part of the maps that the image fills.

    Args:
      serve: runs the export of the half type.
      model: the same weights in float32, with the outputs of the export.
      images: uint8 [H, W, 3] each.
      info: classes.

    Returns:
      Without `panoptic` among the outputs only `SAME_CLASS`, of `semantic`; without either nothing.

    Raises:
      NonFinitePredictionError: the float32 model's logits are not finite.
    """
    found: List[Dict[str, float]] = []
    for image in images:
        half, exact = _valid(serve(image)), _valid(model([image]))
        found.append(compare_predictions(half, exact, info))
    rows = []
    for measure in (SAME_CLASS, SAME_SEGMENT, FOUND_AGAIN, SCORE_DIFFERENCE):
        values = [each[measure] for each in found if measure in each]
        if values:
            worst = max(values) if measure == SCORE_DIFFERENCE else min(values)
            rows.append(CostRow(measure, float(np.mean(values)), float(worst)))
    return rows


def compare_predictions(half: Outputs, exact: Outputs, info: DatasetInfo) -> Dict[str, float]:
    """Measures of one image.

    Segments are the same where their class is one and their IoU is above 1/2: which number a thing
    has depends on the order of the slots. Void of both is the same, but no segment.

    Args:
      half: `panoptic` and `semantic` int [h, w], either may be missing; `segment_id` int [Q], -1
        unused, and `segment_score` float [Q].
      exact: the same, in float32.
      info: classes.

    Returns:
      Measure -> value; those of segments are missing where float32 finds none.
    """
    if "panoptic" not in exact:
        semantic: Optional[np.ndarray] = exact.get("semantic")
        return {} if semantic is None else {SAME_CLASS: _share(half["semantic"] == semantic)}
    divisor = info.label_divisor
    ours, theirs = half["panoptic"], exact["panoptic"]
    partners = _find_partners(ours, theirs, info)
    same = (ours == info.void_panoptic) & (theirs == info.void_panoptic)
    for their_id, our_id in partners.items():
        same |= (theirs == their_id) & (ours == our_id)
    measures = {
        SAME_CLASS: _share(class_of(ours, divisor) == class_of(theirs, divisor)),
        SAME_SEGMENT: _share(same),
    }
    wanted = np.setdiff1d(theirs, [info.void_panoptic])
    if wanted.size:
        measures[FOUND_AGAIN] = len(partners) / wanted.size
    if partners:
        scores, exact_scores = _scores(half), _scores(exact)
        measures[SCORE_DIFFERENCE] = max(
            abs(scores[our_id] - exact_scores[their_id]) for their_id, our_id in partners.items()
        )
    return measures


def format_precision_cost(rows: Sequence[CostRow]) -> str:
    """The table that `kmax export` prints."""
    lines = [f"{'':<32} {'mean':>8} {'worst image':>12}"]
    for row in rows:
        mark = "" if row.passed else "  ABSURD"
        lines.append(f"{row.measure:<32} {row.mean:>8.4f} {row.worst:>12.4f}{mark}")
    return "\n".join(lines)


def _find_partners(ours: np.ndarray, theirs: np.ndarray, info: DatasetInfo) -> Dict[int, int]:
    """Id of each segment in `theirs` that is found again -> its id in `ours`."""
    partners = {their_id: our_id for _, our_id, their_id in match_segments(ours, theirs, info)}
    for segment_id in np.intersect1d(ours, theirs).tolist():
        if segment_id == info.void_panoptic or instance_of(segment_id, info.label_divisor):
            continue
        here, there = ours == segment_id, theirs == segment_id
        if np.sum(here & there) > 0.5 * np.sum(here | there):
            partners[segment_id] = segment_id
    return partners


def _scores(outputs: Outputs) -> Dict[int, float]:
    return dict(zip(outputs["segment_id"].tolist(), outputs["segment_score"].tolist()))


def _share(same: np.ndarray) -> float:
    return float(np.mean(same))


def _valid(outputs: Mapping[str, Any]) -> Outputs:
    """Of a request with one image its rows, and its maps without padding."""
    found = {name: np.asarray(value)[0] for name, value in outputs.items()}
    height, width = found["valid_size"]
    for name in ("panoptic", "semantic"):
        if name in found:
            found[name] = found[name][:height, :width]
    return found

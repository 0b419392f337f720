"""Panoptic quality as officially defined (Kirillov et al., Panoptic Segmentation, section 4.1).

The rules for void and crowd are those of the official evaluation code: matched segments have an IoU
above 0.5 with the void part of the prediction left out; a crowd region is neither matched nor
missed; a prediction that lies mostly on void and on crowd of its own class is not a false positive.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.structures import DatasetInfo

# Up to this range of ids a table is faster than sorting the pixels.
_LARGEST_TABLE = 2**23


@dataclasses.dataclass(frozen=True)
class SegmentOverlaps:
    """Areas and overlaps of the segments of one image.

    Attributes:
      true_ids: int [G], panoptic ids of the ground truth, void not among them.
      true_areas: int64 [G].
      predicted_ids: int [P], panoptic ids of the prediction, void not among them.
      predicted_areas: int64 [P].
      intersections: int64 [G, P].
      on_void: int64 [P], pixels of a predicted segment that are void in the ground truth.
    """

    true_ids: np.ndarray
    true_areas: np.ndarray
    predicted_ids: np.ndarray
    predicted_areas: np.ndarray
    intersections: np.ndarray
    on_void: np.ndarray


def measure_overlaps(
    ground_truth: np.ndarray, prediction: np.ndarray, *, void: int
) -> SegmentOverlaps:
    """Counts the pixels of all pairs of segments of one image.

    Args:
      ground_truth: int [H, W], panoptic ids.
      prediction: int [H, W], panoptic ids.
      void: the panoptic id of void.

    Returns:
      The `SegmentOverlaps`.

    Raises:
      ValueError: the maps have different sizes.
    """
    if ground_truth.shape != prediction.shape:
        raise ValueError(
            "`prediction` has to have the size of the ground truth, "
            f"{ground_truth.shape}; received {prediction.shape}."
        )
    true_ids, true_index = _compact(ground_truth)
    predicted_ids, predicted_index = _compact(prediction)
    num_true, num_predicted = len(true_ids), len(predicted_ids)
    pairs = np.bincount(
        true_index * num_predicted + predicted_index, minlength=num_true * num_predicted
    ).reshape(num_true, num_predicted)
    is_true, is_predicted = true_ids != void, predicted_ids != void
    return SegmentOverlaps(
        true_ids=true_ids[is_true],
        true_areas=pairs.sum(axis=1)[is_true],
        predicted_ids=predicted_ids[is_predicted],
        predicted_areas=pairs.sum(axis=0)[is_predicted],
        intersections=pairs[is_true][:, is_predicted],
        on_void=pairs[~is_true].sum(axis=0)[is_predicted],
    )


def _compact(panoptic: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The ids that occur, ascending, and the position of each pixel's id among them, flat."""
    flat = panoptic.ravel()
    if not flat.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    lowest = int(flat.min())
    if int(flat.max()) - lowest > _LARGEST_TABLE:
        ids, index = np.unique(flat, return_inverse=True)
        return ids, index.reshape(-1)
    flat = flat - lowest
    present = np.bincount(flat) > 0
    position = np.cumsum(present) - 1
    return np.flatnonzero(present) + lowest, position[flat]


class QualityCounts:
    """Sums per class from which SQ, RQ and PQ follow.

    Attributes:
      iou: float64 [number of classes], sum over matched pairs; classes as in `info.class_ids`.
      true_positives: int64, same shape; likewise `false_positives` and `false_negatives`.
    """

    def __init__(self, num_classes: int) -> None:
        self.iou = np.zeros(num_classes, np.float64)
        self.true_positives = np.zeros(num_classes, np.int64)
        self.false_positives = np.zeros(num_classes, np.int64)
        self.false_negatives = np.zeros(num_classes, np.int64)

    def add(self, other: QualityCounts) -> None:
        """Adds the sums of `other`."""
        self.add_arrays(other.to_arrays())

    def to_arrays(self) -> Dict[str, np.ndarray]:
        """The sums by name."""
        return dict(vars(self))

    def add_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds sums from `to_arrays`."""
        for name, value in arrays.items():
            vars(self)[name] += value

    def match(
        self,
        *,
        overlaps: SegmentOverlaps,
        true_class: np.ndarray,
        predicted_class: np.ndarray,
        matchable: np.ndarray,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Adds the matched pairs of one image.

        Args:
          overlaps: of the image.
          true_class: int [G], class index.
          predicted_class: int [P], class index; pairs with a negative one never match.
          matchable: bool [G], segments that may be matched.

        Returns:
          bool [G] and bool [P]: which segments found a partner.
        """
        intersections = overlaps.intersections
        union = (
            overlaps.true_areas[:, np.newaxis]
            + (overlaps.predicted_areas - overlaps.on_void)[np.newaxis]
            - intersections
        )
        iou = np.divide(intersections, union, out=np.zeros(union.shape), where=union > 0)
        same = true_class[:, np.newaxis] == predicted_class[np.newaxis]
        valid = matchable & (true_class >= 0)
        matched = (iou > 0.5) & same & valid[:, np.newaxis]
        rows, columns = np.nonzero(matched)
        np.add.at(self.iou, true_class[rows], iou[rows, columns])
        np.add.at(self.true_positives, true_class[rows], 1)
        return matched.any(axis=1), matched.any(axis=0)

    def quality(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """PQ, SQ, RQ as float64 per class, and bool per class: whether the class occurred."""
        half = 0.5 * (self.false_positives + self.false_negatives)
        weight = self.true_positives + half
        valid = weight > 0
        sq = self.iou / np.maximum(self.true_positives, 1)
        rq = self.true_positives / np.where(valid, weight, 1.0)
        return self.iou / np.where(valid, weight, 1.0), sq, rq, valid


def class_indices(info: DatasetInfo, panoptic_ids: np.ndarray, source: str) -> np.ndarray:
    """Position in `info.class_ids` of the class of each panoptic id, -1 for the ignore label.

    Args:
      info: classes of the data set.
      panoptic_ids: int [S].
      source: where the ids come from, for the message.

    Returns:
      int64 [S].

    Raises:
      ValueError: a class that the data set does not have.
    """
    class_ids = labels.class_of(panoptic_ids, info.label_divisor)
    known = {class_id: index for index, class_id in enumerate(info.class_ids)}
    known[info.ignore_label] = -1
    unknown = sorted({int(i) for i in class_ids} - known.keys())
    if unknown:
        raise ValueError(
            f"`{source}` may hold the classes {list(info.class_ids)} and void "
            f"{info.ignore_label}; received {unknown}."
        )
    return np.array([known[int(i)] for i in class_ids], np.int64)


class PanopticQuality:
    """Official PQ, SQ and RQ over all classes, over things and over stuff.

    Args:
      info: classes of the data set.
      crowd_as_void: count crowd regions as void; without it they follow the official crowd rule.
    """

    def __init__(self, info: DatasetInfo, *, crowd_as_void: bool = False) -> None:
        self.info = info
        self.crowd_as_void = crowd_as_void
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.counts = QualityCounts(len(self.info.class_ids))

    def merge(self, other: PanopticQuality) -> None:
        """Adds the images that `other` has seen."""
        self.counts.add(other.counts)

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray) -> None:
        """Adds one image.

        Args:
          ground_truth: int32 [H, W], panoptic ids; instance 0 of a thing class is a crowd region.
          prediction: int32 [H, W], panoptic ids.
        """
        void = self.info.void_panoptic
        self.update_overlaps(measure_overlaps(ground_truth, prediction, void=void))

    def update_overlaps(self, overlaps: SegmentOverlaps) -> None:
        """Adds one image whose segments are encoded in panoptic ids."""
        info = self.info
        true_class = class_indices(info, overlaps.true_ids, "ground_truth")
        is_thing = np.array([*info.is_thing, False])[true_class]
        instance = labels.instance_of(overlaps.true_ids, info.label_divisor)
        self.update_segments(
            overlaps,
            true_class=true_class,
            is_crowd=is_thing & (instance == 0),
            predicted_class=class_indices(info, overlaps.predicted_ids, "prediction"),
        )

    def update_segments(
        self,
        overlaps: SegmentOverlaps,
        *,
        true_class: np.ndarray,
        is_crowd: np.ndarray,
        predicted_class: np.ndarray,
    ) -> None:
        """Adds one image whose segments come with their classes, as in a COCO panoptic file.

        Args:
          overlaps: of the image, ground-truth segments in the order of the annotation.
          true_class: int [G], position in `info.class_ids`, -1 = void.
          is_crowd: bool [G].
          predicted_class: int [P], position in `info.class_ids`, -1 = void.
        """
        ignored = true_class < 0
        if self.crowd_as_void:
            ignored = ignored | is_crowd
        on_void = overlaps.on_void + overlaps.intersections[ignored].sum(axis=0)
        overlaps = dataclasses.replace(overlaps, on_void=on_void)
        counts, real = self.counts, ~ignored & ~is_crowd
        true_matched, predicted_matched = counts.match(
            overlaps=overlaps,
            true_class=true_class,
            predicted_class=predicted_class,
            matchable=real,
        )
        np.add.at(counts.false_negatives, true_class[real & ~true_matched], 1)

        excused = on_void.copy()
        # One crowd region per class excuses predictions; of several, the last (as in the official
        # code, which keeps them in a dictionary by class).
        crowd_of_class = {int(true_class[i]): i for i in np.flatnonzero(is_crowd & ~ignored)}
        for class_index, crowd in crowd_of_class.items():
            same = predicted_class == class_index
            excused[same] += overlaps.intersections[crowd, same]
        wrong = (predicted_class >= 0) & ~predicted_matched
        wrong &= excused <= 0.5 * overlaps.predicted_areas
        np.add.at(counts.false_positives, predicted_class[wrong], 1)

    def result(self) -> Dict[str, float]:
        """Means over the classes that occurred, in percent.

        Returns:
          `pq`, `sq`, `rq`, and each with `_things` and `_stuff`; a group without ground truth and
          without prediction has no keys.
        """
        is_thing = np.array(self.info.is_thing, bool)
        groups = {"": np.ones_like(is_thing), "_things": is_thing, "_stuff": ~is_thing}
        *values, valid = self.counts.quality()
        return {
            name + suffix: 100.0 * float(value[group & valid].mean())
            for suffix, group in groups.items()
            if (group & valid).any()
            for name, value in zip(("pq", "sq", "rq"), values)
        }

    def per_class(self) -> List[Dict[str, object]]:
        """One row per class.

        Returns:
          `class_id`, `name`, `is_thing`, `pq`, `sq`, `rq` (percent; None for a class that did not
          occur), `tp`, `fp`, `fn`.
        """
        return class_rows(self.info, self.counts)


def class_rows(info: DatasetInfo, counts: QualityCounts) -> List[Dict[str, object]]:
    """Rows of `PanopticQuality.per_class` from the sums `counts`."""
    pq, sq, rq, valid = counts.quality()

    def percent(values: np.ndarray, index: int) -> Optional[float]:
        return 100.0 * float(values[index]) if valid[index] else None

    return [
        {
            "class_id": int(class_id),
            "name": info.names[index],
            "is_thing": bool(info.is_thing[index]),
            "pq": percent(pq, index),
            "sq": percent(sq, index),
            "rq": percent(rq, index),
            "tp": int(counts.true_positives[index]),
            "fp": int(counts.false_positives[index]),
            "fn": int(counts.false_negatives[index]),
        }
        for index, class_id in enumerate(info.class_ids)
    ]

"""Mask AP as the COCO tools define it, of instances that do not overlap.

The masks of a panoptic map are never needed: all IoUs follow from the areas and overlaps that the
PQ is made of. Only the matching is done here; averaging is left to pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from pycocotools.cocoeval import COCOeval

from evaluation.panoptic_quality import SegmentOverlaps, class_indices
from kmax_tf import labels
from kmax_tf.structures import DatasetInfo

# Position among the twelve numbers of the COCO tools.
_NUMBERS = {"ap": 0, "ap50": 1, "ap75": 2, "ap_small": 3, "ap_medium": 4, "ap_large": 5}
_UNDEFINED = -1.0


class MatchedDetections(NamedTuple):
    """What is kept of one class in one image: 0.5 kB and 90 bytes per detection.

    Attributes:
      scores: float64 [P], descending.
      matched: bool [A, I, P], per range of areas and IoU threshold.
      ignored: bool [A, I, P], neither true nor false positive.
      true_ignored: bool [A, G], segments of the ground truth that need not be found.
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    true_ignored: np.ndarray


class InstanceAP:
    """Collects detections over images; a thing class with instance 0 is a crowd in ground truth.

    Equal scores in two images are ranked in the order in which the images were added.

    Args:
      info: classes of the data set.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.num_images = 0
        self._parameters = COCOeval(iouType="segm").params
        self._area_ranges = np.array(self._parameters.areaRng, np.float64)
        # The COCO tools let a full overlap pass a threshold of 1.
        self._thresholds = np.minimum(self._parameters.iouThrs, 1 - 1e-10)
        self._classes: Dict[int, List[MatchedDetections]] = {}
        self._curves: Optional[Dict[int, Dict[str, np.ndarray]]] = None

    def reset(self) -> None:
        """Forgets all images."""
        self.num_images = 0
        self._classes = {}
        self._curves = None

    def merge(self, other: InstanceAP) -> None:
        """Adds the images that `other` has seen."""
        self.num_images += other.num_images
        self._curves = None
        for class_id, images in other._classes.items():
            self._classes.setdefault(class_id, []).extend(images)

    def to_arrays(self) -> Dict[str, np.ndarray]:
        """All that was collected, for `add_arrays`: the images of all classes in a row."""
        rows = [(index, image) for index, images in self._classes.items() for image in images]
        empty = self._empty()
        parts = zip(*[empty, *(image for _, image in rows)])
        return {
            "num_images": np.array(self.num_images),
            "class_index": np.array([index for index, _ in rows], np.int64),
            "num_detections": np.array([len(image.scores) for _, image in rows], np.int64),
            "num_true": np.array([image.true_ignored.shape[1] for _, image in rows], np.int64),
            **{
                name: np.concatenate(part, axis=-1)
                for name, part in zip(MatchedDetections._fields, parts)
            },
        }

    def add_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds the images of another one of the same data set, from its `to_arrays`."""
        self.num_images += int(arrays["num_images"])
        self._curves = None
        detections, true = (np.cumsum(arrays[name])[:-1] for name in ("num_detections", "num_true"))
        parts = [
            np.split(arrays[name], true if name == "true_ignored" else detections, axis=-1)
            for name in MatchedDetections._fields
        ]
        for class_index, *part in zip(arrays["class_index"].tolist(), *parts):
            self._classes.setdefault(class_index, []).append(MatchedDetections(*part))

    def _empty(self) -> MatchedDetections:
        """Of an image without anything."""
        shape = (len(self._area_ranges), len(self._thresholds), 0)
        nothing = np.zeros(shape, bool)
        return MatchedDetections(np.zeros(0), nothing, nothing, np.zeros((shape[0], 0), bool))

    def update_overlaps(self, overlaps: SegmentOverlaps, scores: Mapping[int, float]) -> None:
        """Adds one image whose segments are encoded in panoptic ids.

        Args:
          overlaps: of the image.
          scores: panoptic id of each predicted thing segment -> its score.

        Raises:
          ValueError: a predicted thing segment has no score, or a class is unknown.
        """
        info = self.info
        predicted_class = class_indices(info, overlaps.predicted_ids, "prediction")
        is_thing = np.array([*info.is_thing, False])[predicted_class]
        values = np.zeros(len(predicted_class))
        values[is_thing] = _scores_of(overlaps.predicted_ids[is_thing], scores)
        self.update_segments(
            overlaps,
            true_class=class_indices(info, overlaps.true_ids, "ground_truth"),
            is_crowd=labels.instance_of(overlaps.true_ids, info.label_divisor) == 0,
            predicted_class=predicted_class,
            scores=values,
        )

    def update_segments(
        self,
        overlaps: SegmentOverlaps,
        *,
        true_class: np.ndarray,
        is_crowd: np.ndarray,
        predicted_class: np.ndarray,
        scores: np.ndarray,
        stated_areas: Optional[np.ndarray] = None,
    ) -> None:
        """Adds one image whose segments come with their classes; those of stuff are left out.

        Args:
          overlaps: of the image, segments in the order of the annotations; areas are pixels.
          true_class: int [G], position in `info.class_ids`, -1 = void.
          is_crowd: bool [G].
          predicted_class: int [P], position in `info.class_ids`, -1 = void.
          scores: float [P]; those of stuff are not read.
          stated_areas: float [G], by which an annotation is small, medium or large; None = pixels.
        """
        self.num_images += 1
        self._curves = None
        stated_areas = overlaps.true_areas if stated_areas is None else stated_areas
        for class_index in sorted({*true_class.tolist(), *predicted_class.tolist()}):
            if class_index < 0 or not self.info.is_thing[class_index]:
                continue
            rows = np.flatnonzero(true_class == class_index)
            columns = np.flatnonzero(predicted_class == class_index)
            # A stable sort, as in the COCO tools: the order of equal scores decides.
            order = np.argsort(-scores[columns], kind="mergesort")
            columns = columns[order[: self._parameters.maxDets[-1]]]
            crowd = is_crowd[rows]
            detections = self._match(
                iou=_intersection_over_union(overlaps, rows, columns, crowd),
                crowd=crowd,
                true_out_of_range=self._out_of_range(stated_areas[rows]),
                out_of_range=self._out_of_range(overlaps.predicted_areas[columns]),
                scores=scores[columns],
            )
            self._classes.setdefault(class_index, []).append(detections)

    def numbers(self) -> np.ndarray:
        """The twelve numbers of the COCO tools, float64 [12] in 0..1; -1 where undefined.

        They are 0 where nothing at all was detected although there is something to find.
        """
        images = [image for images in self._classes.values() for image in images]
        if not any(len(image.scores) for image in images):
            # The first range holds all areas; only crowd is ignored in it.
            missed = any(not image.true_ignored[0].all() for image in images)
            return np.full(12, 0.0 if missed else _UNDEFINED)
        parts = self._curves_of_classes().values()
        with contextlib.redirect_stdout(io.StringIO()):
            summary = COCOeval(iouType="segm")
            summary.eval = {
                "precision": np.concatenate([part["precision"] for part in parts], axis=2),
                "recall": np.concatenate([part["recall"] for part in parts], axis=1),
            }
            summary.summarize()
        return summary.stats

    def result(self) -> Dict[str, Optional[float]]:
        """The metrics in percent.

        Returns:
          `ap`, the mean over IoU thresholds 0.5, 0.55 ... 0.95; `ap50`, `ap75`, at one threshold;
          `ap_small`, `ap_medium`, `ap_large`, of areas up to 32 x 32, up to 96 x 96 and above. One
          that is undefined is None; there is no key for data without things or without images.
        """
        if not self.info.thing_ids or not self.num_images:
            return {}
        numbers = self.numbers()
        return {
            name: None if numbers[index] == _UNDEFINED else 100.0 * float(numbers[index])
            for name, index in _NUMBERS.items()
        }

    def per_class(self) -> List[Optional[float]]:
        """AP in percent, one per `info.class_ids`; None for stuff and where nothing is to find."""
        values: List[Optional[float]] = [None] * len(self.info.class_ids)
        for class_index, curves in self._curves_of_classes().items():
            precision = curves["precision"][..., 0, -1]  # All areas, most detections.
            known = precision[precision > _UNDEFINED]
            values[class_index] = 100.0 * float(known.mean()) if len(known) else None
        return values

    def _curves_of_classes(self) -> Dict[int, Dict[str, np.ndarray]]:
        """Class index -> result of `_accumulate`, ascending; computed once after the last image."""
        if self._curves is None:
            with contextlib.redirect_stdout(io.StringIO()):
                items = sorted(self._classes.items())
                self._curves = {index: self._accumulate(images) for index, images in items}
        return self._curves

    def _match(
        self,
        *,
        iou: np.ndarray,
        crowd: np.ndarray,
        true_out_of_range: np.ndarray,
        out_of_range: np.ndarray,
        scores: np.ndarray,
    ) -> MatchedDetections:
        """Matches detections, best score first, with the segments of their class.

        Args:
          iou: float [G, P].
          crowd: bool [G].
          true_out_of_range: bool [A, G].
          out_of_range: bool [A, P].
          scores: float [P], descending.
        """
        true_ignored = true_out_of_range | crowd
        shape = len(self._area_ranges), len(self._thresholds)
        matched = np.zeros((*shape, len(scores)), bool)
        ignored = np.zeros((*shape, len(scores)), bool)
        free = np.ones((*shape, len(crowd)), bool)
        for column in range(len(scores)):
            partner = self._best_partner(iou[:, column], true_ignored, free)
            found = partner >= 0
            first, second = np.nonzero(found)
            chosen = partner[first, second]
            free[first, second, chosen] = crowd[chosen]
            matched[..., column] = found
            ignored[first, second, column] = true_ignored[first, chosen]
        ignored |= ~matched & out_of_range[:, np.newaxis]
        return MatchedDetections(scores, matched, ignored, true_ignored)

    def _best_partner(
        self, iou: np.ndarray, true_ignored: np.ndarray, free: np.ndarray
    ) -> np.ndarray:
        """The row that one detection is matched with, int [A, I], -1 = none.

        Rows to be found come before ignored ones whatever their IoU; among equals the last wins.
        """
        best = np.broadcast_to(self._thresholds, free.shape[:2]).copy()
        partner = np.full(free.shape[:2], -1)
        candidates = np.flatnonzero(iou >= self._thresholds[0])
        for of_ignored in (False, True):
            taken = partner >= 0
            for row in candidates:
                allowed = (true_ignored[:, row] == of_ignored)[:, np.newaxis] & ~taken
                better = allowed & free[..., row] & (iou[row] >= best)
                best[better] = iou[row]
                partner[better] = row
        return partner

    def _out_of_range(self, areas: np.ndarray) -> np.ndarray:
        """bool [A, number of areas]."""
        low, high = self._area_ranges[:, :1], self._area_ranges[:, 1:]
        return (areas < low) | (areas > high)

    def _accumulate(self, images: List[MatchedDetections]) -> Dict[str, np.ndarray]:
        """Precision [I, 101, 1, A, 3] and recall [I, 1, A, 3] of one class, by pycocotools."""
        evaluation = COCOeval(iouType="segm")
        evaluation.params.catIds = [0]
        evaluation.params.imgIds = list(range(len(images)))
        evaluation._paramsEval = evaluation.params
        evaluation.evalImgs = [
            {
                "dtScores": image.scores,
                "dtMatches": image.matched[index],
                "dtIgnore": image.ignored[index],
                "gtIgnore": image.true_ignored[index],
            }
            for index in range(len(self._area_ranges))
            for image in images
        ]
        evaluation.accumulate()
        return evaluation.eval


def _intersection_over_union(
    overlaps: SegmentOverlaps, rows: np.ndarray, columns: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    """float64 [rows, columns]; `crowd` is bool [rows]."""
    areas = overlaps.predicted_areas[columns]
    intersections = overlaps.intersections[rows][:, columns]
    union = overlaps.true_areas[rows][:, np.newaxis] + areas - intersections
    # A detection inside a crowd is right however large the crowd is.
    return intersections / np.where(crowd[:, np.newaxis], areas, union)


def _scores_of(ids: np.ndarray, scores: Mapping[int, float]) -> np.ndarray:
    missing = [segment_id for segment_id in ids.tolist() if segment_id not in scores]
    if missing:
        raise ValueError(
            f"`scores` must name every predicted thing segment; received none for {missing}."
        )
    return np.array([scores[segment_id] for segment_id in ids.tolist()], np.float64)

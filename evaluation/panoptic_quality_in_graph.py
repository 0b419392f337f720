"""Panoptic quality as the reference implementation (deeplab2) reports it during training.

It differs from the official definition: a crowd region is an ordinary segment, and there is no
split into things and stuff. Kept as a second row, to compare with numbers of the reference.
"""

from __future__ import annotations

from typing import Dict

import numpy as np

from evaluation.panoptic_quality import (
    QualityCounts,
    SegmentOverlaps,
    class_indices,
    measure_overlaps,
)
from kmax_tf.structures import DatasetInfo


class PanopticQualityInGraph:
    """PQ of the reference implementation.

    Args:
      info: classes of the data set.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.counts = QualityCounts(len(self.info.class_ids))

    def merge(self, other: PanopticQualityInGraph) -> None:
        """Adds the images that `other` has seen."""
        self.counts.add(other.counts)

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray) -> None:
        """Adds one image.

        Args:
          ground_truth: int32 [H, W], panoptic ids.
          prediction: int32 [H, W], panoptic ids.
        """
        void = self.info.void_panoptic
        self.update_overlaps(measure_overlaps(ground_truth, prediction, void=void))

    def update_overlaps(self, overlaps: SegmentOverlaps) -> None:
        """Adds one image whose segments were measured already."""
        true_class = class_indices(self.info, overlaps.true_ids, "ground_truth")
        predicted_class = class_indices(self.info, overlaps.predicted_ids, "prediction")
        true_matched, predicted_matched = self.counts.match(
            overlaps=overlaps,
            true_class=true_class,
            predicted_class=predicted_class,
            matchable=true_class >= 0,
        )
        missed = true_class[(true_class >= 0) & ~true_matched]
        np.add.at(self.counts.false_negatives, missed, 1)
        wrong = (predicted_class >= 0) & ~predicted_matched
        wrong &= overlaps.on_void <= 0.5 * overlaps.predicted_areas
        np.add.at(self.counts.false_positives, predicted_class[wrong], 1)

    def result(self) -> Dict[str, float]:
        """Means over the classes that occurred, in percent.

        Returns:
          `pq_in_graph`, `sq_in_graph`, `rq_in_graph`, or nothing when no class occurred.
        """
        *values, valid = self.counts.quality()
        if not valid.any():
            return {}
        names = ("pq_in_graph", "sq_in_graph", "rq_in_graph")
        return {name: 100.0 * float(value[valid].mean()) for name, value in zip(names, values)}

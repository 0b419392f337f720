"""Mean intersection over union of semantic maps."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from kmax_tf.structures import DatasetInfo


class MeanIoU:
    """Mean IoU over the classes that occur in the ground truth or in the prediction.

    Void is none of them, even where its id lies among theirs (COCO's 0); predicted, it is a miss.
    Void pixels of the ground truth do not count.

    Args:
      info: classes of the data set.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self._num_labels = max(info.num_classes, max(info.class_ids) + 1)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        # One more column for predictions that are no class at all, such as a void outside.
        self._counts = np.zeros((self._num_labels, self._num_labels + 1), np.int64)

    def merge(self, other: MeanIoU) -> None:
        """Adds the images that `other` has seen."""
        self._counts += other._counts

    def to_arrays(self) -> Dict[str, np.ndarray]:
        """All that was counted, for `add_arrays`."""
        return {"counts": self._counts}

    def add_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds what another one of the same data set has counted."""
        self._counts += arrays["counts"]

    @property
    def confusion_matrix(self) -> np.ndarray:
        """int64 [K, K], rows are the ground truth."""
        return self._counts[:, :-1]

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray) -> None:
        """Adds one image.

        Args:
          ground_truth: int32 [H, W], data-set class ids; crowd pixels keep their class.
          prediction: int32 [H, W], data-set class ids.

        Raises:
          ValueError: the sizes differ, or the ground truth has an unknown class.
        """
        if ground_truth.shape != prediction.shape:
            raise ValueError(
                "`prediction` has to have the size of the ground truth, "
                f"{ground_truth.shape}; received {prediction.shape}."
            )
        counted = ground_truth != self.info.ignore_label
        truth, guess = ground_truth[counted], prediction[counted]
        size = self._num_labels
        if truth.size and not (truth.min() >= 0 and truth.max() < size):
            raise ValueError(
                f"`ground_truth` may hold the classes 0..{size - 1} and void "
                f"{self.info.ignore_label}; received {int(truth.min())}..{int(truth.max())}."
            )
        guess = np.where((guess >= 0) & (guess < size), guess, size)
        pairs = truth.astype(np.int64) * (size + 1) + guess
        self._counts += np.bincount(pairs, minlength=size * (size + 1)).reshape(size, size + 1)

    def per_class(self) -> List[Optional[float]]:
        """IoU in percent, one per `info.class_ids`; None for a class that did not occur."""
        values, occurs = self._iou()
        return [
            100.0 * float(values[class_id]) if occurs[class_id] else None
            for class_id in self.info.class_ids
        ]

    def result(self) -> Dict[str, float]:
        """`miou` in percent, or nothing when no class occurred."""
        occurring = [value for value in self.per_class() if value is not None]
        return {"miou": float(np.mean(occurring))} if occurring else {}

    def _iou(self) -> Tuple[np.ndarray, np.ndarray]:
        hits = np.diagonal(self._counts).astype(np.float64)
        union = self._counts.sum(axis=1) + self._counts[:, :-1].sum(axis=0) - hits
        return hits / np.maximum(union, 1), union > 0

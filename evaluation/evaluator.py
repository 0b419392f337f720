"""All metrics of a stream of predictions at the size of the image files."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from evaluation.instance_ap import InstanceAP
from evaluation.mean_iou import MeanIoU
from evaluation.metric_tables import format_task_table
from evaluation.panoptic_quality import PanopticQuality, measure_overlaps
from evaluation.panoptic_quality_in_graph import PanopticQualityInGraph
from kmax_tf import labels
from kmax_tf.data.task import Task
from kmax_tf.structures import DatasetInfo

MAIN_METRIC = {Task.PANOPTIC: "pq", Task.SEMANTIC: "miou", Task.INSTANCE: "ap"}
"""Key of the number by which results of a task are ranked."""


class Evaluator:
    """Collects the metrics of a task over images.

    Panoptic: PQ, mIoU and mask AP. Semantic: mIoU. Instance: mask AP and PQ of things.

    Memory does not grow with the number of images, but for a few kB per image where mask AP is
    measured.

    Args:
      info: classes of the data set, as the task sees them (`apply_task`).
      task: decides what is measured.
      crowd_as_void: whether the official PQ counts crowd regions as void.
      note: said of the official PQ below the table; empty = what follows from `crowd_as_void`.
      images_left_out: because of bad records; said below the table and in the result.
    """

    def __init__(
        self,
        info: DatasetInfo,
        *,
        task: Task = Task.PANOPTIC,
        crowd_as_void: bool = False,
        note: str = "",
        images_left_out: int = 0,
    ) -> None:
        self.info = info
        self.task = task
        self.note = note or ("official, crowd counted as void" if crowd_as_void else "")
        self.panoptic_quality = PanopticQuality(info, crowd_as_void=crowd_as_void)
        self.in_graph = PanopticQualityInGraph(info)
        self.mean_iou = MeanIoU(info)
        self.instance_ap = InstanceAP(info)
        self.num_images = 0
        self.images_left_out = images_left_out

    def reset(self) -> None:
        """Forgets all images."""
        self.panoptic_quality.reset()
        self.in_graph.reset()
        self.mean_iou.reset()
        self.instance_ap.reset()
        self.num_images = 0

    def merge(self, other: Evaluator) -> None:
        """Adds the images that `other` has seen."""
        self.panoptic_quality.merge(other.panoptic_quality)
        self.in_graph.merge(other.in_graph)
        self.mean_iou.merge(other.mean_iou)
        self.instance_ap.merge(other.instance_ap)
        self.num_images += other.num_images

    def to_arrays(self) -> Dict[str, np.ndarray]:
        """All that was collected, for `add_arrays` in another process."""
        arrays = {"num_images": np.array(self.num_images)}
        for name, metric in self._metrics().items():
            arrays.update({f"{name}/{key}": a for key, a in metric.to_arrays().items()})
        return arrays

    def add_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds the images of an evaluator of the same data set, from its `to_arrays`."""
        self.num_images += int(arrays["num_images"])
        for name, metric in self._metrics().items():
            prefix = f"{name}/"
            metric.add_arrays(
                {key[len(prefix) :]: a for key, a in arrays.items() if key.startswith(prefix)}
            )

    def _metrics(self) -> Dict[str, Any]:
        return {
            "panoptic_quality": self.panoptic_quality.counts,
            "in_graph": self.in_graph.counts,
            "mean_iou": self.mean_iou,
            "instance_ap": self.instance_ap,
        }

    def update_image(
        self,
        ground_truth: np.ndarray,
        *,
        panoptic: np.ndarray,
        semantic: Optional[np.ndarray] = None,
        scores: Optional[Mapping[int, float]] = None,
    ) -> None:
        """Adds one image at the size of its file.

        Args:
          ground_truth: int32 [H, W], panoptic ids.
          panoptic: int32 [H, W], predicted panoptic ids.
          semantic: int32 [H, W], predicted class ids; None = those of `panoptic`.
          scores: panoptic id of each predicted thing segment -> its score; None = mask AP is not
            measured.

        Raises:
          ValueError: the maps have different sizes, or a predicted thing segment has no score.
        """
        divisor = self.info.label_divisor
        if self.task is not Task.SEMANTIC:
            overlaps = measure_overlaps(ground_truth, panoptic, void=self.info.void_panoptic)
            self.panoptic_quality.update_overlaps(overlaps)
            if self.task is Task.PANOPTIC:
                self.in_graph.update_overlaps(overlaps)
            if scores is not None:
                self.instance_ap.update_overlaps(overlaps, scores)
        if self.task is not Task.INSTANCE:
            classes = labels.class_of(panoptic, divisor) if semantic is None else semantic
            self.mean_iou.update(labels.class_of(ground_truth, divisor), classes)
        self.num_images += 1

    def result(self) -> Dict[str, Any]:
        """The metrics of the task in percent.

        Returns:
          `pq`, `sq`, `rq`, each also with `_things`, `_stuff` and `_in_graph`; `miou`; `ap`,
          `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large` (`InstanceAP.result`), where every
          image came with scores; `per_class`, a list of rows (`class_id`, `name`, `is_thing`, `pq`,
          `sq`, `rq`, `iou`, `tp`, `fp`, `fn`; for instances also `ap`). A metric that is not of the
          task, or whose classes occurred neither in ground truth nor in prediction, has no key; as
          mask AP or in a row of `per_class` it is None. `images_left_out`, where there are any.
        """
        left_out = self.images_left_out
        metrics: Dict[str, Any] = {"images_left_out": left_out} if left_out else {}
        if self.task is Task.SEMANTIC:
            return {**metrics, **self.mean_iou.result(), "per_class": self._semantic_rows()}
        if self.instance_ap.num_images == self.num_images:
            metrics.update(self.instance_ap.result())
        metrics.update(self.panoptic_quality.result())
        metrics["per_class"] = self.panoptic_quality.per_class()
        if self.task is Task.PANOPTIC:
            metrics.update(self.in_graph.result())
            metrics.update(self.mean_iou.result())
        for row, iou in zip(metrics["per_class"], self.mean_iou.per_class()):
            row["iou"] = iou
        if self.task is Task.INSTANCE:
            for row, average_precision in zip(metrics["per_class"], self.instance_ap.per_class()):
                row["ap"] = average_precision
        return metrics

    def table(self) -> str:
        """The metrics as a table for a terminal: a row per class, then the means."""
        left_out = self.images_left_out
        table = format_task_table(self.result(), self.num_images, task=self.task, note=self.note)
        return (
            f"{table}\nImages left out because of bad records: {left_out}." if left_out else table
        )

    def _semantic_rows(self) -> List[Dict[str, Any]]:
        """Rows of `per_class` where there are no segments."""
        not_measured = dict.fromkeys(("pq", "sq", "rq", "tp", "fp", "fn"))
        return [
            {"class_id": class_id, "name": name, "is_thing": False, **not_measured, "iou": iou}
            for class_id, name, iou in zip(
                self.info.class_ids, self.info.names, self.mean_iou.per_class()
            )
        ]

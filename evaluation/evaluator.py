"""All metrics of a stream of predictions at the size of the image files."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from evaluation.instance_ap import InstanceAP
from evaluation.mean_iou import MeanIoU
from evaluation.panoptic_quality import PanopticQuality, measure_overlaps
from evaluation.panoptic_quality_in_graph import PanopticQualityInGraph
from kmax_tf import labels
from kmax_tf.structures import DatasetInfo


class Evaluator:
    """Collects all metrics over images.

    Memory does not grow with the number of images, but for a few kB per image where mask AP is
    measured.

    Args:
      info: classes of the data set.
      crowd_as_void: whether the official PQ counts crowd regions as void.
      note: said of the official PQ below the table; empty = what follows from `crowd_as_void`.
    """

    def __init__(self, info: DatasetInfo, *, crowd_as_void: bool = False, note: str = "") -> None:
        self.info = info
        self.note = note or ("official, crowd counted as void" if crowd_as_void else "")
        self.panoptic_quality = PanopticQuality(info, crowd_as_void=crowd_as_void)
        self.in_graph = PanopticQualityInGraph(info)
        self.mean_iou = MeanIoU(info)
        self.instance_ap = InstanceAP(info)
        self.num_images = 0

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
        overlaps = measure_overlaps(ground_truth, panoptic, void=self.info.void_panoptic)
        self.panoptic_quality.update_overlaps(overlaps)
        self.in_graph.update_overlaps(overlaps)
        if scores is not None:
            self.instance_ap.update_overlaps(overlaps, scores)
        classes = labels.class_of(panoptic, divisor) if semantic is None else semantic
        self.mean_iou.update(labels.class_of(ground_truth, divisor), classes)
        self.num_images += 1

    def result(self) -> Dict[str, Any]:
        """All metrics in percent.

        Returns:
          `pq`, `sq`, `rq`, each also with `_things`, `_stuff` and `_in_graph`; `miou`; `ap`,
          `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large` (`InstanceAP.result`), where every
          image came with scores; `per_class`, a list of rows (`class_id`, `name`, `is_thing`, `pq`,
          `sq`, `rq`, `iou`, `tp`, `fp`, `fn`). A metric whose classes occurred neither in ground
          truth nor in prediction has no key; as mask AP or in a row of `per_class` it is None.
        """
        metrics: Dict[str, Any] = {}
        metrics.update(self.panoptic_quality.result())
        metrics.update(self.in_graph.result())
        metrics.update(self.mean_iou.result())
        if self.instance_ap.num_images == self.num_images:
            metrics.update(self.instance_ap.result())
        metrics["per_class"] = [
            {**row, "iou": iou}
            for row, iou in zip(self.panoptic_quality.per_class(), self.mean_iou.per_class())
        ]
        return metrics

    def table(self) -> str:
        """The metrics as a table for a terminal: a row per class, then the means."""
        return format_table(self.result(), self.num_images, note=self.note)


_COLUMNS = ("pq", "sq", "rq", "iou", "tp", "fp", "fn")


def format_table(result: Mapping[str, Any], num_images: int, *, note: str = "") -> str:
    """Lays out the result of `Evaluator.result` for a terminal.

    Args:
      result: metrics in percent and `per_class`.
      num_images: how many images they come from.
      note: said in brackets after the row of the official PQ.

    Returns:
      Lines of equal columns, without a trailing line break.
    """
    rows: List[Sequence[str]] = [("class", "kind", "PQ", "SQ", "RQ", "IoU", "TP", "FP", "FN")]
    for row in result["per_class"]:
        kind = "thing" if row["is_thing"] else "stuff"
        if row["pq"] is None and row["iou"] is None:
            rows.append((row["name"], kind, "no ground truth"))
        else:
            rows.append((row["name"], kind, *(_cell(row[column]) for column in _COLUMNS)))
    classes = len(rows)
    for name, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        rows.append(_mean_row(name, result, suffix))
    rows.append(_mean_row("All, in-graph variant", result, "_in_graph"))
    if "ap" in result:
        rows.append(("Mask AP", "thing", _ap_cell(result)))

    complete = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[i]) for row in complete) for i in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_line(row, widths) for row in rows]
    lines = [lines[0], rule, *lines[1:classes], rule, *lines[classes:]]
    if note:
        lines.append(f"PQ of the rows above the in-graph variant: {note}.")
    lines.append(f"{num_images} image{'' if num_images == 1 else 's'}, values in percent.")
    return "\n".join(lines)


def _mean_row(name: str, result: Mapping[str, Any], suffix: str) -> Sequence[str]:
    """One row of means; `IoU` is only a mean over all classes."""
    if f"pq{suffix}" not in result:
        return (name, "", "no ground truth")
    values = [result[f"{metric}{suffix}"] for metric in ("pq", "sq", "rq")]
    iou = result.get("miou") if not suffix else ""
    return (name, "", *(_cell(value) for value in (*values, iou)), "", "", "")


def _ap_cell(result: Mapping[str, Any]) -> str:
    """All numbers of the row of mask AP."""
    if result["ap"] is None:
        return "no ground truth"
    parts = (("50", "ap50"), ("75", "ap75"), ("small", "ap_small"), ("medium", "ap_medium"))
    others = [f"{name} {_cell(result[key])}" for name, key in (*parts, ("large", "ap_large"))]
    return f"{_cell(result['ap'])}  ({', '.join(others)})"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right; a short row ends with free text."""
    cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
    if len(row) == 3:
        return "  ".join([*cells, row[2]])
    cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:])]
    return "  ".join(cells).rstrip()

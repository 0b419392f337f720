"""Reads the reference results of the metrics."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, List, NamedTuple

import numpy as np

from kmax_tf.structures import DatasetInfo
from tests.post_processing.golden_cases import toy_info

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "metrics"
METRICS: Dict[str, Any] = json.loads((FOLDER / "metrics.json").read_text(encoding="utf-8"))
CASES: List[str] = sorted(METRICS["cases"])


class MetricCase(NamedTuple):
    info: DatasetInfo
    ground_truth: np.ndarray
    panoptic: np.ndarray
    semantic: np.ndarray
    expected: Dict[str, Any]


def load_case(name: str) -> MetricCase:
    with np.load(FOLDER / "metrics.npz") as file:
        return MetricCase(
            info=toy_info(METRICS["cases"][name]["dataset"]),
            ground_truth=file[f"{name}/gt"],
            panoptic=file[f"{name}/pred"],
            semantic=file[f"{name}/semantic_pred"],
            expected=METRICS["results"][name],
        )

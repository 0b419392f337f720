"""The official panoptic quality of two COCO folders, stated as plainly as possible: loops over
dictionaries, one image after the other. The yardstick of the quick implementation."""

from __future__ import annotations

import collections
import json
import pathlib
from typing import Any, Dict

import numpy as np
from PIL import Image

_BASE = 256**3


def read_ids(path: pathlib.Path) -> np.ndarray:
    colors = np.array(Image.open(path), np.uint64)
    return colors[..., 0] + 256 * colors[..., 1] + 256 * 256 * colors[..., 2]


def plain_panoptic_quality(
    truth_json: pathlib.Path,
    truth_dir: pathlib.Path,
    prediction_json: pathlib.Path,
    prediction_dir: pathlib.Path,
) -> Dict[str, Any]:
    """PQ, SQ, RQ as fractions per group (None without a class), counts and IoU sum per category."""
    truth = json.loads(truth_json.read_text(encoding="utf-8"))
    prediction = json.loads(prediction_json.read_text(encoding="utf-8"))
    prediction_of = {entry["image_id"]: entry for entry in prediction["annotations"]}
    sums = {entry["id"]: {"iou": 0.0, "tp": 0, "fp": 0, "fn": 0} for entry in truth["categories"]}
    for annotation in truth["annotations"]:
        guess = prediction_of[annotation["image_id"]]
        true_ids = read_ids(truth_dir / annotation["file_name"])
        predicted_ids = read_ids(prediction_dir / guess["file_name"])
        _add_image(sums, annotation, guess, true_ids, predicted_ids)
    groups = {"all": (0, 1), "things": (1,), "stuff": (0,)}
    return {
        "per_category": sums,
        **{name: _mean(sums, truth["categories"], kinds) for name, kinds in groups.items()},
    }


def _add_image(
    sums: Dict[int, Dict[str, Any]],
    annotation: Dict[str, Any],
    guess: Dict[str, Any],
    true_ids: np.ndarray,
    predicted_ids: np.ndarray,
) -> None:
    true_segments = {segment["id"]: segment for segment in annotation["segments_info"]}
    predicted_segments = {segment["id"]: segment for segment in guess["segments_info"]}
    area = {int(i): int(n) for i, n in zip(*np.unique(predicted_ids, return_counts=True))}
    pairs, counts = np.unique(true_ids * _BASE + predicted_ids, return_counts=True)
    shared = {(int(k) // _BASE, int(k) % _BASE): int(n) for k, n in zip(pairs, counts)}

    true_matched, predicted_matched = set(), set()
    for (true_id, predicted_id), intersection in shared.items():
        if true_id not in true_segments or predicted_id not in predicted_segments:
            continue
        segment = true_segments[true_id]
        category = segment["category_id"]
        if segment["iscrowd"] or category != predicted_segments[predicted_id]["category_id"]:
            continue
        on_void = shared.get((0, predicted_id), 0)
        iou = intersection / (segment["area"] + area[predicted_id] - intersection - on_void)
        if iou > 0.5:
            sums[category]["tp"] += 1
            sums[category]["iou"] += iou
            true_matched.add(true_id)
            predicted_matched.add(predicted_id)

    crowd_of = {}
    for true_id, segment in true_segments.items():
        if segment["iscrowd"]:
            crowd_of[segment["category_id"]] = true_id  # of several the last
        elif true_id not in true_matched:
            sums[segment["category_id"]]["fn"] += 1
    for predicted_id, segment in predicted_segments.items():
        if predicted_id in predicted_matched:
            continue
        excused = shared.get((0, predicted_id), 0)
        if segment["category_id"] in crowd_of:
            excused += shared.get((crowd_of[segment["category_id"]], predicted_id), 0)
        if excused / area[predicted_id] <= 0.5:
            sums[segment["category_id"]]["fp"] += 1


def _mean(sums: Dict[int, Dict[str, Any]], categories: Any, kinds: Any) -> Any:
    values = collections.defaultdict(list)
    for entry in categories:
        total = sums[entry["id"]]
        weight = total["tp"] + 0.5 * total["fp"] + 0.5 * total["fn"]
        if entry["isthing"] not in kinds or weight == 0:
            continue
        values["pq"].append(total["iou"] / weight)
        values["sq"].append(total["iou"] / total["tp"] if total["tp"] else 0.0)
        values["rq"].append(total["tp"] / weight)
    return {key: float(np.mean(value)) for key, value in values.items()} or None

"""Reads the reference arrays of post-processing; used by several tests."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, NamedTuple, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.structures import DatasetInfo, MaskPrediction

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "post_processing"
CASES: Dict[str, Any] = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
MASK_WISE = [name for name, case in CASES.items() if case["mode"] == "maskwise"]
PIXEL_WISE = [name for name, case in CASES.items() if case["mode"] == "pixelwise"]


class GoldenCase(NamedTuple):
    info: DatasetInfo
    prediction: MaskPrediction
    options: Dict[str, Any]
    size: Tuple[int, int]
    arrays: Dict[str, np.ndarray]


def toy_info(dataset: Dict[str, Any]) -> DatasetInfo:
    """A data set of numbered classes."""
    ids = tuple(i for i in range(dataset["num_classes"]) if i != dataset["ignore_label"])
    return DatasetInfo(
        name="toy",
        num_classes=dataset["num_classes"],
        ignore_label=dataset["ignore_label"],
        label_divisor=dataset["divisor"],
        class_ids=ids,
        names=tuple(f"class {i}" for i in ids),
        colors=tuple((20 * i, 255 - 20 * i, 128) for i in ids),
        is_thing=tuple(i in dataset["things"] for i in ids),
        original_ids=tuple(10 * i for i in ids),
    )


def load_case(name: str) -> GoldenCase:
    case = CASES[name]
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    return GoldenCase(
        info=toy_info(case["dataset"]),
        prediction=MaskPrediction(
            class_logits=tf.constant(arrays["class_logits"]),
            mask_logits=tf.constant(arrays["mask_logits"]),
        ),
        options=case,
        size=tuple(case["image_size"]),
        arrays=arrays,
    )


def check_against(case: GoldenCase, result: Any) -> None:
    """All maps of a `PanopticPrediction` equal the reference; rows agree with the maps."""
    arrays = case.arrays
    np.testing.assert_array_equal(result.panoptic, arrays["panoptic"])
    np.testing.assert_array_equal(result.mask_id, arrays["mask_id_plus_one"])
    np.testing.assert_array_equal(result.semantic, arrays["semantic"])
    np.testing.assert_allclose(result.instance_score, arrays["instance_scores"], atol=1e-5)
    np.testing.assert_allclose(result.semantic_score, arrays["semantic_scores"], atol=1e-5)
    rows = zip(
        np.asarray(result.segment_id),
        np.asarray(result.segment_class),
        np.asarray(result.segment_score),
    )
    for panoptic, (segment_id, segment_class, score) in zip(arrays["panoptic"], rows):
        used = segment_id >= 0
        present = sorted(set(panoptic.ravel().tolist()) - {case.info.void_panoptic})
        assert sorted(segment_id[used].tolist()) == present
        divisor = case.info.label_divisor
        np.testing.assert_array_equal(segment_class[used], segment_id[used] // divisor)
        assert np.all(segment_class[~used] == -1)
        assert np.all(score[used] > 0)
        assert not np.any(score[~used])

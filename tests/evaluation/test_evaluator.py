"""Metrics of a stream of predictions, and the way back to the size of the image."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf

from evaluation.evaluator import MAIN_METRIC, Evaluator
from evaluation.instance_ap import InstanceAP
from evaluation.mean_iou import MeanIoU
from evaluation.panoptic_quality import PanopticQuality, measure_overlaps
from kmax_tf.data.task import Task, apply_task, read_labels
from kmax_tf.results.restore import restore_map
from tests.evaluation.golden_metrics import load_case
from tests.post_processing import golden_cases


@pytest.mark.parametrize("name", ["maskwise_ade_undo", "maskwise_cityscapes"])
def test_way_back_to_the_image_equals_reference(name: str) -> None:
    case = golden_cases.load_case(name)
    undo = case.options["undo"]
    for source, target in (
        ("panoptic", "panoptic_pred"),
        ("semantic", "semantic_pred"),
        ("instance_scores", "instance_scores"),
    ):
        for cropped, expected in zip(case.arrays[source], case.arrays[f"undone/{target}"]):
            result = restore_map(cropped, undo["resized"], undo["raw"])
            np.testing.assert_array_equal(result, expected)


def _send(evaluator: Evaluator) -> Evaluator:
    """What another process makes of the arrays."""
    file = io.BytesIO()
    np.savez(file, **evaluator.to_arrays())
    received = Evaluator(evaluator.info)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as arrays:
        received.add_arrays(dict(arrays))
    return received


@pytest.mark.parametrize("send", [lambda evaluator: evaluator, _send], ids=["merged", "sent"])
def test_merged_evaluators_equal_one(send) -> None:
    case = load_case("with_crowd")
    whole, merged, part = Evaluator(case.info), Evaluator(case.info), Evaluator(case.info)
    for index in range(3):
        for evaluator in (whole, part if index == 1 else merged):
            evaluator.update_image(
                case.ground_truth[index],
                panoptic=case.panoptic[index],
                semantic=case.semantic[index],
                scores={i: 1 / i for i in np.unique(case.panoptic[index]).tolist() if i},
            )
    assert whole.result()["ap"] > 0
    merged.merge(send(Evaluator(case.info)))  # of nothing
    merged.merge(send(part))
    assert merged.num_images == 3
    assert merged.result() == whole.result()
    merged.reset()
    assert set(merged.result()) == {"per_class"}


def test_mask_ap_needs_the_scores_of_all_images() -> None:
    case = load_case("with_crowd")
    evaluator = Evaluator(case.info)
    scores = dict.fromkeys(np.unique(case.panoptic[0]).tolist(), 0.5)
    evaluator.update_image(case.ground_truth[0], panoptic=case.panoptic[0], scores=scores)
    result = evaluator.result()
    assert {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"} < set(result)
    assert result["ap_medium"] is None
    (row,) = [line for line in evaluator.table().splitlines() if line.startswith("Mask AP")]
    assert f"{result['ap']:.2f}  (50 {result['ap50']:.2f}, 75" in row
    assert row.endswith("medium -, large -)")
    evaluator.update_image(case.ground_truth[1], panoptic=case.panoptic[1])
    assert "ap" not in evaluator.result()
    assert "Mask AP" not in evaluator.table()


def test_table() -> None:
    case = load_case("with_crowd")
    evaluator = Evaluator(case.info, crowd_as_void=True)
    empty = evaluator.table()
    assert empty.count("no ground truth") == len(case.info.class_ids) + 4
    evaluator.update_image(case.ground_truth[0], panoptic=case.panoptic[0])
    lines = evaluator.table().splitlines()
    assert lines[0].split() == ["class", "kind", "PQ", "SQ", "RQ", "IoU", "TP", "FP", "FN"]
    assert len({len(line) for line in lines[2:10] if "no ground truth" not in line}) == 1
    assert any(line.startswith("Things") for line in lines)
    assert "crowd counted as void" in lines[-2]
    assert lines[-1] == "1 image, values in percent."


def as_seen_by(task: Task):
    """A golden case whose maps are read for a task, and an evaluator that has seen them."""
    case = load_case("with_crowd")
    info = apply_task(case.info, task)
    case = case._replace(
        info=info,
        ground_truth=read_labels(tf.constant(case.ground_truth), info).numpy(),
        panoptic=read_labels(tf.constant(case.panoptic), info).numpy(),
    )
    evaluator = Evaluator(info, task=task, note="said of PQ")
    for truth, panoptic, semantic in zip(case.ground_truth, case.panoptic, case.semantic):
        scores = {i: 1 / i for i in np.unique(panoptic).tolist() if i}
        evaluator.update_image(truth, panoptic=panoptic, semantic=semantic, scores=scores)
    return case, evaluator


def test_semantic_task() -> None:
    case, evaluator = as_seen_by(Task.SEMANTIC)
    result = evaluator.result()
    mean_iou = MeanIoU(case.info)
    for truth, semantic in zip(case.ground_truth, case.semantic):
        mean_iou.update(truth // case.info.label_divisor, semantic)
    assert result["miou"] == mean_iou.result()["miou"]
    assert set(result) == {"miou", "per_class"}
    assert [row["iou"] for row in result["per_class"]] == mean_iou.per_class()
    assert set(result["per_class"][0]) == set(Evaluator(case.info).result()["per_class"][0])
    assert result["per_class"][0]["pq"] is None
    lines = evaluator.table().splitlines()
    assert lines[0].split() == ["class", "IoU"]
    assert len(lines) == len(case.info.class_ids) + 5
    assert f"{result['miou']:.2f}" in lines[-2]


def test_instance_task() -> None:
    case, evaluator = as_seen_by(Task.INSTANCE)
    result = evaluator.result()
    mask_ap, quality = InstanceAP(case.info), PanopticQuality(case.info)
    for truth, panoptic in zip(case.ground_truth, case.panoptic):
        overlaps = measure_overlaps(truth, panoptic, void=case.info.void_panoptic)
        mask_ap.update_overlaps(overlaps, {i: 1 / i for i in np.unique(panoptic).tolist() if i})
        quality.update_overlaps(overlaps)
    expected = {**mask_ap.result(), **quality.result()}
    assert expected["ap"] > 0
    assert expected["pq_things"] == expected["pq"] > 0
    assert {name: result[name] for name in result if name != "per_class"} == expected
    assert len(result["per_class"]) == len(case.info.thing_ids) == len(case.info.class_ids)
    assert {row["iou"] for row in result["per_class"]} == {None}
    assert [row["ap"] for row in result["per_class"]] == mask_ap.per_class()
    assert "ap" not in Evaluator(case.info).result()["per_class"][0]
    lines = evaluator.table().splitlines()
    assert lines[0].split() == ["class", "AP", "PQ", "SQ", "RQ", "TP", "FP", "FN"]
    assert f"{result['ap']:.2f}  (50" in lines[-3]
    assert "said of PQ" in lines[-2]


@pytest.mark.parametrize("task", list(Task))
def test_results_of_a_task_are_ranked_by_a_metric_it_has(task: Task) -> None:
    case, evaluator = as_seen_by(task)
    assert evaluator.result()[MAIN_METRIC[task]] > 0
    other = Evaluator(case.info, task=task)
    other.merge(evaluator)
    assert other.result() == evaluator.result()
    evaluator.reset()
    assert set(evaluator.result()) == {"per_class"}
    assert "no ground truth" in evaluator.table()

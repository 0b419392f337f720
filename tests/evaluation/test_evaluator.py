"""Metrics of a stream of predictions, and the way back to the size of the image."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.evaluator import Evaluator
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


def test_merged_evaluators_equal_one() -> None:
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
    merged.merge(part)
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

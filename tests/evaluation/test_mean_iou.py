"""Mean IoU: reference results and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.mean_iou import MeanIoU
from tests.evaluation.golden_metrics import CASES, load_case
from tests.post_processing.golden_cases import toy_info


@pytest.mark.parametrize("name", CASES)
def test_equals_reference(name: str) -> None:
    case = load_case(name)
    metrics = [MeanIoU(case.info) for _ in range(2)]
    semantic = case.ground_truth // case.info.label_divisor
    for index, (truth, prediction) in enumerate(zip(semantic, case.semantic)):
        metrics[index % 2].update(truth, prediction)
    metrics[0].merge(metrics[1])
    np.testing.assert_array_equal(metrics[0].confusion_matrix, case.expected["confusion_matrix"])
    assert metrics[0].result()["miou"] / 100 == pytest.approx(case.expected["mIoU"], abs=1e-6)


def test_by_hand() -> None:
    info = toy_info({"num_classes": 3, "ignore_label": 255, "divisor": 10, "things": []})
    metric = MeanIoU(info)
    assert metric.result() == {}
    # Class 0: 1 of 3; class 1: 1 of 2; class 2 never occurs; a void prediction is a miss.
    metric.update(np.array([[0, 0, 1, 255, 0]]), np.array([[0, 1, 1, 2, 255]]))
    assert metric.result()["miou"] == pytest.approx(100 * (1 / 3 + 1 / 2) / 2)
    assert metric.per_class()[2] is None


def test_errors() -> None:
    metric = MeanIoU(toy_info({"num_classes": 3, "ignore_label": 255, "divisor": 10, "things": []}))
    with pytest.raises(ValueError, match="size of the ground truth"):
        metric.update(np.zeros([2, 2], np.int32), np.zeros([2, 3], np.int32))
    with pytest.raises(ValueError, match=r"classes 0\.\.2 and void 255; received 9\.\.9"):
        metric.update(np.full([2, 2], 9), np.zeros([2, 2], np.int32))


def test_a_predicted_void_is_no_class_even_inside_the_classes() -> None:
    info = toy_info({"num_classes": 3, "ignore_label": 0, "divisor": 10, "things": [1]})
    metric = MeanIoU(info)
    metric.update(np.array([[0, 1, 1, 2]]), np.array([[1, 1, 0, 2]]))
    # Class 1 is found in half; class 2 is found; void is not a class with an IoU of 0.
    assert metric.result()["miou"] == pytest.approx(100 * (1 / 2 + 1) / 2)

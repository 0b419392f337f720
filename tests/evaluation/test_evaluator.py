"""From batches of padded predictions to metrics."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from evaluation.evaluator import Evaluator
from kmax_tf.results.restore import restore_map
from kmax_tf.structures import PanopticPrediction
from tests.evaluation.golden_metrics import load_case
from tests.post_processing import golden_cases
from tests.post_processing.golden_cases import toy_info


def prediction_of(panoptic: np.ndarray, semantic: np.ndarray) -> PanopticPrediction:
    empty = tf.zeros([len(panoptic), 0])
    return PanopticPrediction(
        tf.constant(panoptic), tf.constant(semantic), empty, empty, empty, empty, empty, empty
    )


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


def test_batches_of_different_sizes_equal_single_images() -> None:
    case = load_case("with_crowd")
    single, batched = Evaluator(case.info), Evaluator(case.info)
    sizes = [(48, 64), (40, 50), (31, 64)]
    padded = np.full([3, 65, 65], case.info.void_panoptic, np.int32)
    semantic = np.zeros_like(padded)
    truths = np.full([3, 48, 64], case.info.void_panoptic, np.int32)
    for index, (height, width) in enumerate(sizes):
        window = (slice(height), slice(width))
        padded[index][window] = case.panoptic[index][window]
        semantic[index][window] = case.semantic[index][window]
        truths[index][window] = case.ground_truth[index][window]
        single.update_image(
            truths[index][window],
            panoptic=case.panoptic[index][window],
            semantic=case.semantic[index][window],
        )
    batched.update(
        {"original_panoptic": tf.constant(truths), "original_size": tf.constant(sizes)},
        {"valid_size": tf.constant(sizes)},
        prediction_of(padded, semantic),
    )
    assert batched.num_images == 3
    assert batched.result() == single.result()
    merged = Evaluator(case.info)
    merged.merge(batched)
    assert merged.result() == single.result()
    merged.reset()
    assert set(merged.result()) == {"per_class"}


def test_predictions_are_brought_to_the_size_of_the_file() -> None:
    info = toy_info({"num_classes": 3, "ignore_label": 0, "divisor": 10, "things": [1]})
    truth = np.repeat(np.repeat(np.array([[11, 20], [20, 20]], np.int32), 5, 0), 5, 1)
    panoptic = np.zeros([1, 6, 7], np.int32)
    panoptic[0, :4, :4] = np.repeat(np.repeat(np.array([[13, 20], [20, 20]]), 2, 0), 2, 1)
    evaluator = Evaluator(info)
    evaluator.update(
        {"original_panoptic": truth[np.newaxis], "original_size": [[10, 10]]},
        {"valid_size": [[4, 4]]},
        prediction_of(panoptic, panoptic // 10),
    )
    result = evaluator.result()
    expected = ["pq", "sq", "rq", "pq_things", "pq_stuff", "pq_in_graph", "miou"]
    assert [result[key] for key in expected] == [100.0] * len(expected)


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

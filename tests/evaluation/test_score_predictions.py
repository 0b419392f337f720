"""Scores of COCO panoptic folders: reference numbers, a plain implementation, faulty input."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any, Callable, Dict, List

import numpy as np
import pytest

from evaluation.evaluator import Evaluator
from evaluation.score_predictions import Score, find_predictions, score_predictions
from kmax_tf.results.coco_panoptic import CocoPanopticWriter, write_ids
from tests.evaluation.coco_folders import (
    CATEGORIES,
    Folders,
    Side,
    categories_of,
    random_side,
    segment,
    side_of_map,
    similar_side,
    write_folders,
)
from tests.evaluation.golden_metrics import CASES, load_case
from tests.evaluation.plain_panoptic_quality import plain_panoptic_quality

GROUPS = (("all", ""), ("things", "_things"), ("stuff", "_stuff"))


def score(folders: Folders, **options: Any) -> Score:
    finished = find_predictions(folders.prediction_dir, folders.truth_json)
    return score_predictions(finished, **options)


@pytest.mark.parametrize("name", CASES)
def test_equals_official_numbers(name: str, tmp_path) -> None:
    case = load_case(name)
    folders = write_folders(
        tmp_path,
        [side_of_map(image, case.info, truth=True) for image in case.ground_truth],
        [side_of_map(image, case.info, truth=False) for image in case.panoptic],
        categories_of(case.info),
    )
    expected = case.expected["official_crowd_as_iscrowd"]
    evaluator = Evaluator(case.info)
    for truth, prediction in zip(case.ground_truth, case.panoptic):
        evaluator.update_image(truth, panoptic=prediction)
    result = score(folders).result
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for key in ("pq", "sq", "rq"):
            assert result[key + suffix] / 100 == pytest.approx(expected[group][key], abs=1e-9)
    for row, other in zip(result["per_class"], evaluator.result()["per_class"]):
        assert row["class_id"] == 7 * other["class_id"] + 3
        assert {**row, "class_id": 0} == pytest.approx({**other, "class_id": 0})
    assert result["miou"] == pytest.approx(evaluator.result()["miou"])


@pytest.mark.parametrize("processes", [1, 2])
def test_equals_the_plain_implementation(processes: int, tmp_path) -> None:
    rng = np.random.default_rng(7)
    truth, prediction = [], []
    for index in range(40):
        size = tuple(rng.integers(3, 40, 2))
        truth.append(random_side(rng, size, truth=True))
        other = similar_side(rng, truth[-1]) if index % 4 else None
        prediction.append(other or random_side(rng, size, truth=False))
    folders = write_folders(tmp_path, truth, prediction)
    expected = plain_panoptic_quality(*folders)
    assert min(sum(v[k] for v in expected["per_category"].values()) for k in ("tp", "fp")) > 30
    result = score(folders, processes=processes).result
    for group, suffix in GROUPS:
        for key in ("pq", "sq", "rq"):
            assert result[key + suffix] == pytest.approx(100 * expected[group][key], abs=1e-9)
    assert [row["class_id"] for row in result["per_class"]] == [3, 17, 90, 200]
    for row in result["per_class"]:
        sums = expected["per_category"][row["class_id"]]
        assert {key: row[key] for key in ("tp", "fp", "fn")} == {
            key: sums[key] for key in ("tp", "fp", "fn")
        }


def test_a_case_worked_by_hand(tmp_path) -> None:
    truth = Side(
        np.array([[1, 1, 1, 1, 0, 0, 2, 2, 3, 3, 3, 9]]),
        [segment(1, 3), segment(2, 17, 1), segment(3, 90)],
    )
    # On 1, void, crowd (17), 3 and what is not listed (9).
    prediction = Side(
        np.array([[5, 5, 5, 6, 6, 6, 7, 7, 8, 8, 8, 8]]),
        [segment(5, 3), segment(6, 3), segment(7, 17), segment(8, 90)],
    )
    result = score(write_folders(tmp_path, [truth], [prediction])).result
    rows = {row["class_id"]: row for row in result["per_class"]}
    # 5 covers three of four pixels; 6 lies mostly on void, 7 on crowd: neither is an error.
    assert (rows[3]["tp"], rows[3]["fp"], rows[3]["fn"]) == (1, 0, 0)
    assert rows[3]["pq"] == pytest.approx(75.0)
    assert rows[17]["pq"] is None
    # The pixel of no segment is not void: it counts in the union.
    assert rows[90]["pq"] == pytest.approx(75.0)
    assert rows[200]["iou"] is None
    # 6 is class 3 too, and its two pixels on void do not count.
    assert rows[3]["iou"] == pytest.approx(100.0)
    assert rows[17]["iou"] == rows[90]["iou"] == pytest.approx(100.0)
    assert result["miou"] == pytest.approx(100.0)


def test_an_area_that_is_not_the_number_of_pixels_counts_and_is_told(tmp_path) -> None:
    ids = np.array([[1, 1, 1, 1, 0]])
    truth, prediction = Side(ids, [segment(1, 3, area=5)]), Side(ids, [segment(1, 3)])
    folders = write_folders(tmp_path, [truth], [prediction])
    scored = score(folders)
    assert scored.result["pq"] == pytest.approx(80.0)
    assert scored.result["pq"] == pytest.approx(100 * plain_panoptic_quality(*folders)["all"]["pq"])
    assert "panoptic_val_0.png: 5 instead of 4" in scored.table.splitlines()[-1]


VOID = np.zeros((3, 4), np.int64)
FULL = np.ones((3, 4), np.int64)


@pytest.mark.parametrize(
    "truth, prediction, expected",
    [
        (Side(VOID, []), Side(VOID, []), {}),
        (Side(VOID, []), Side(FULL, [segment(1, 3)]), {}),
        (Side(FULL, [segment(1, 3, 1)]), Side(FULL, [segment(1, 3)]), {"miou": 100.0}),
        (Side(FULL, [segment(1, 3, 1)]), Side(VOID, []), {"miou": 0.0}),
        (
            Side(FULL, [segment(1, 3)]),
            Side(VOID, []),
            {"pq": 0.0, "sq": 0.0, "rq": 0.0, "miou": 0.0},
        ),
        (
            Side(FULL, [segment(1, 3, 1)]),
            Side(FULL, [segment(1, 90)]),
            {"pq": 0.0, "sq": 0.0, "rq": 0.0, "miou": 0.0},
        ),
        # A predicted segment may have the id 0, like any other.
        (
            Side(FULL, [segment(1, 90)]),
            Side(VOID, [segment(0, 90)]),
            {"pq": 100.0, "sq": 100.0, "rq": 100.0, "miou": 100.0},
        ),
        # A segment of the ground truth without pixels is missed.
        (
            Side(FULL, [segment(1, 90), segment(2, 90)]),
            Side(FULL, [segment(1, 90)]),
            {"pq": 100 / 1.5, "sq": 100.0, "rq": 100 / 1.5, "miou": 100.0},
        ),
    ],
    ids=[
        "nothing", "all void", "all crowd", "crowd missed", "nothing predicted",
        "other class on crowd", "id 0", "no pixels",
    ],
)  # fmt: skip
def test_boundary_cases(
    truth: Side, prediction: Side, expected: Dict[str, float], tmp_path
) -> None:
    folders = write_folders(tmp_path, [truth], [prediction])
    scored = score(folders)
    result = {k: v for k, v in scored.result.items() if k in ("pq", "sq", "rq", "miou")}
    assert result == pytest.approx(expected)
    plain = plain_panoptic_quality(*folders)["all"]
    assert ("pq" in expected) == (plain is not None)
    if plain is not None:
        assert plain["pq"] * 100 == pytest.approx(expected["pq"])
    assert "1 image, values in percent." in scored.table


def test_the_table_has_no_row_of_the_variant_that_is_not_measured(tmp_path) -> None:
    side = Side(FULL, [segment(1, 90)])
    lines = score(write_folders(tmp_path, [side], [side])).table.splitlines()
    assert not any("in-graph" in line for line in lines)
    assert any(line.startswith("Straße") and "100.00" in line for line in lines)
    assert any(line.startswith("Stuff") for line in lines)


def test_extra_predictions_are_left_out_and_progress_counts_images(tmp_path) -> None:
    side = Side(FULL, [segment(1, 90)])
    folders = write_folders(tmp_path, [side, side], [side, side, side])
    finished = find_predictions(folders.prediction_dir, folders.truth_json)
    assert len(finished.images) == 2
    counts: List[int] = []
    score_predictions(finished, advance=counts.append)
    assert sum(counts) == 2


def test_finds_what_our_own_commands_write(tmp_path) -> None:
    case = load_case("with_crowd")
    truth_dir, folder = tmp_path / "truth", tmp_path / "saved"
    with (
        CocoPanopticWriter(truth_dir, case.info) as truth,
        CocoPanopticWriter(folder, case.info, json_path=folder / "panoptic.json") as writer,
    ):
        for index, panoptic in enumerate(case.panoptic):
            truth.add(panoptic, name=str(index), image_id=index)
            writer.add(panoptic, name=str(index), image_id=index)
    finished = find_predictions(f"{folder}/", tmp_path / "truth.json")
    assert score_predictions(finished).result["pq"] == pytest.approx(100.0)
    moved = truth_dir.rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"`ground_truth_dir` must be a folder.*truth is none"):
        find_predictions(folder, tmp_path / "truth.json")
    find_predictions(
        folder,
        tmp_path / "truth.json",
        ground_truth_dir=moved,
        predictions_json=folder / "panoptic.json",
    )


def test_scoring_does_not_load_tensorflow() -> None:
    """It would take longer than many a result."""
    code = "import sys, evaluation.score_predictions; sys.exit('tensorflow' in sys.modules)"
    root = pathlib.Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def change_json(which: str, change: Callable[[Dict[str, Any]], Any]) -> Callable[[Folders], None]:
    def apply(folders: Folders) -> None:
        path = getattr(folders, which)
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return apply


def of_prediction(change: Callable[[Dict[str, Any]], Any]) -> Callable[[Folders], None]:
    return change_json("prediction_json", change)


def of_truth(change: Callable[[Dict[str, Any]], Any]) -> Callable[[Folders], None]:
    return change_json("truth_json", change)


def first(content: Dict[str, Any]) -> Dict[str, Any]:
    return content["annotations"][0]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (of_prediction(lambda c: first(c)["segments_info"].pop()),
         r"result_0.png has pixels of segment 2, which .* does not list"),
        (of_prediction(lambda c: first(c)["segments_info"].append(segment(8, 3))),
         r"result_0.png has no pixels of segment 8, which .* lists"),
        (of_prediction(lambda c: first(c)["segments_info"][0].update(category_id=4)),
         r"result.json.*result_0.png may have .*\[3, 17, 90, 200\]; segment 1 has 4"),
        (of_truth(lambda c: first(c)["segments_info"][0].update(category_id=4)),
         r"panoptic_val.json.*segment 1 has 4"),
        (of_prediction(lambda c: c["annotations"].pop()),
         r"result.json has no prediction for image 1 \(panoptic_val_1.png\)"),
        (of_prediction(lambda c: c["annotations"].append(first(c))),
         r"result.json has two annotations of image 0"),
        (of_prediction(lambda c: first(c)["segments_info"].append(segment(1, 3))),
         r"result_0.png lists segment 1 twice"),
        (of_prediction(lambda c: first(c).pop("image_id")), r"result.json.*`image_id`"),
        (of_prediction(lambda c: c.pop("annotations")), r"result.json must be .* `annotations`"),
        (of_prediction(lambda c: first(c)["segments_info"][0].update(id=2**24)),
         r"ids in 0..16777215; received 16777216"),
        (of_truth(lambda c: first(c)["segments_info"][0].update(id=0)),
         r"panoptic_val.json: a segment of panoptic_val_0.png has id 0, which is void"),
        (of_truth(lambda c: first(c)["segments_info"][0].update(area="big")),
         r"`area` of segment 1 must be a finite number; received 'big'"),
        (of_prediction(lambda c: first(c)["segments_info"][1].update(score=None)),
         r"result.json.*`score` of segment 2 must be a finite number; received None"),
        (of_prediction(lambda c: first(c)["segments_info"][1].update(score=float("nan"))),
         r"`score` of segment 2 must be a finite number; received nan"),
        (of_truth(lambda c: c.update(annotations=[])), r"nothing to score"),
        (of_truth(lambda c: c.update(categories=[])), r"must have `categories`"),
        (of_truth(lambda c: c["categories"][0].pop("isthing")), r"`isthing`"),
        (of_truth(lambda c: c["categories"].append(CATEGORIES[0])), r"must be distinct"),
        (lambda f: write_ids(f.prediction_dir / "result_1.png", np.ones((4, 3), int)),
         r"result_1.png has \(4, 3\), .*panoptic_val_1.png has \(3, 4\)"),
        (lambda f: (f.prediction_dir / "result_1.png").unlink(), r"result_1.png cannot be read"),
        (lambda f: (f.truth_dir / "panoptic_val_0.png").write_bytes(b"no"),
         r"panoptic_val_0.png cannot be read"),
        (lambda f: f.prediction_json.unlink(),
         r"neither .*result.json nor .*result/panoptic.json"),
        (lambda f: f.truth_json.unlink(), r"panoptic_val.json does not exist"),
        (lambda f: f.truth_json.write_text("{"),
         r"panoptic_val.json cannot be read: it is not valid JSON"),
        (lambda f: f.truth_json.write_text("[" * 100_000),
         r"panoptic_val.json cannot be read: it is nested too deeply"),
        (of_prediction(lambda c: first(c).update(file_name="../result_0.png")),
         r"`file_name` of an annotation in .*result.json must be a path inside .*/result, "),
        (of_truth(lambda c: first(c).update(file_name="/etc/passwd")),
         r"`file_name` of an annotation in .*panoptic_val.json must be a path inside"),
        (lambda f: f.prediction_dir.rename(f.prediction_dir.parent / "x"),
         r"`from_predictions` must be a folder"),
    ],
)  # fmt: skip
def test_errors(spoil: Callable[[Folders], Any], message: str, tmp_path) -> None:
    ids = np.array([[1, 1, 1, 1], [1, 1, 2, 2], [0, 0, 2, 2]])
    side = Side(ids, [segment(1, 90), segment(2, 3)])
    folders = write_folders(tmp_path, [side, side], [side, side])
    spoil(folders)
    with pytest.raises(ValueError, match=message):
        score(folders)

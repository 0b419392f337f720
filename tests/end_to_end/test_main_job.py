"""The main job by its commands: files -> records -> training -> PQ -> pictures -> SavedModel."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kmax_tf.data.dataset_info import load_dataset_info


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("run") / "tiny"


# The rate must not depend on the number of steps when runs of different length are compared.
CONSTANT_RATE = ["--set", "trainer_options.solver_options.poly_learning_power=0"]
FOUR_STEPS = [*CONSTANT_RATE, "--set", "trainer_options.solver_options.training_number_of_steps=4"]


def picture_size(path: pathlib.Path) -> tuple:
    with Image.open(path) as picture:
        return picture.size


def lines_of(run_folder: pathlib.Path) -> list:
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def test_1_training_evaluates_and_leaves_its_files(kmax, run_folder):
    finished = kmax("train", f"--model_dir={run_folder}", *CONSTANT_RATE)
    assert finished.code == 0, finished.err
    assert "Things" in finished.out and "Stuff" in finished.out
    made = {path.name for path in run_folder.iterdir()}
    expected = {"config.textproto", "labels.json", "run.json", "metrics.jsonl", "checkpoint"}
    assert expected | {"train", "eval", "pictures", "ckpt-2.index"} <= made
    lines = lines_of(run_folder)
    assert [line["step"] for line in lines if "loss/total" in line] == [1, 2]
    assert all(np.isfinite(line["loss/total"]) for line in lines if "loss/total" in line)
    assert any("eval/pq" in line and "eval/miou" in line for line in lines)
    pictures = sorted((run_folder / "pictures").glob("*.png"))
    assert [picture.name for picture in pictures] == ["000000.png", "000001.png", "sheet.png"]
    assert min(picture_size(pictures[0])) >= 400


def test_2_the_same_command_continues(kmax, run_folder):
    finished = kmax("train", f"--model_dir={run_folder}", *FOUR_STEPS)
    assert finished.code == 0, finished.err
    steps = [line["step"] for line in lines_of(run_folder) if "loss/total" in line]
    assert steps == [1, 2, 3, 4]


def test_3_an_uninterrupted_run_gives_the_same_numbers(kmax, run_folder, tmp_path):
    finished = kmax("train", f"--model_dir={tmp_path}/whole", "--mode=train", *FOUR_STEPS)
    assert finished.code == 0, finished.err
    resumed = [line for line in lines_of(run_folder) if "loss/total" in line]
    whole = [line for line in lines_of(tmp_path / "whole") if "loss/total" in line]
    assert [line["step"] for line in whole] == [1, 2, 3, 4]
    for one, other in zip(resumed, whole):
        assert one == other  # To the bit: order, augmentation, drop path, dropout, sampling.


def test_4_evaluation_reports_json_and_writes_coco_files(kmax, run_folder, data_folder, tmp_path):
    finished = kmax(
        "eval", f"--checkpoint={run_folder}", "--json", f"--save_predictions={tmp_path}/predictions"
    )
    assert finished.code == 0, finished.err
    result = json.loads(finished.out.strip().splitlines()[-1])
    assert {"pq", "sq", "rq", "pq_things", "pq_stuff", "pq_in_graph", "miou"} <= set(result)
    assert len(result["per_class"]) == 10
    lines = [line for line in lines_of(run_folder) if "eval/pq" in line]
    assert result["pq"] == pytest.approx(lines[-1]["eval/pq"], abs=1e-6)
    truth = json.loads((data_folder / "shapes/panoptic_val.json").read_text())
    written = list(tmp_path.rglob("*.json"))
    assert len(written) == 1
    predicted = json.loads(written[0].read_text())
    assert len(predicted["annotations"]) == len(truth["images"]) == 3
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_5_prediction_writes_pictures_and_a_table(kmax, run_folder, data_folder, tmp_path):
    image = sorted((data_folder / "shapes/images").rglob("*.jpg"))[0]
    finished = kmax("predict", f"--checkpoint={run_folder}", image, f"--output_dir={tmp_path}/out")
    assert finished.code == 0, finished.err
    stem = image.stem
    assert (tmp_path / f"out/{stem}_overlay.png").exists()
    assert picture_size(tmp_path / f"out/{stem}_panoptic.png") == picture_size(image)
    content = json.loads((tmp_path / "out/panoptic.json").read_text())
    assert [a["file_name"] for a in content["annotations"]] == [f"{stem}_panoptic.png"]


def test_6_export_loads_without_the_library(kmax, run_folder, data_folder, tmp_path):
    finished = kmax("export", f"--checkpoint={run_folder}", f"--export_dir={tmp_path}/model")
    assert finished.code == 0, finished.out + finished.err
    folder = tmp_path / "model/1"
    assert (folder / "assets.extra/tf_serving_warmup_requests").exists()
    info = load_dataset_info(folder / "assets/labels.json")
    assert info.thing_ids == load_dataset_info("shapes").thing_ids
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    images = [path.read_bytes() for path in sorted((data_folder / "shapes/images").rglob("*.jpg"))]
    outputs = signature(image_bytes=tf.constant(images[:2]))
    assert outputs["panoptic"].shape == (2, 65, 65)
    assert outputs["image_size"].numpy().tolist() == [[129, 129]] * 2
    again = kmax("export", f"--checkpoint={run_folder}", f"--export_dir={tmp_path}/model")
    assert again.code == 2 and "already holds version 1" in again.err


def test_7_check_prints_sizes_and_trains_nothing(kmax, tmp_path):
    finished = kmax("train", "--check", f"--model_dir={tmp_path}/none")
    assert finished.code == 0, finished.err
    assert re.search(r"parameters", finished.out, re.IGNORECASE)
    assert not (tmp_path / "none").exists()

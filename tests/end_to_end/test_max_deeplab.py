"""MaX-DeepLab by the commands: it trains, evaluates and exports like any other model."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs/test/tiny_max_deeplab.textproto"


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_train_evaluate_export(kmax, data_folder, tmp_path, precision):
    # Sizes of the form 16 k + 1; the height is none of the form 32 k + 1.
    arguments = [
        f"--config_file={CONFIG}",
        *("--set", f"trainer_options.precision={precision}"),
        *("--set", "train_dataset_options.crop_size=49,65"),
        *("--set", "eval_dataset_options.crop_size=49,65"),
    ]
    finished = kmax("train", f"--model_dir={tmp_path}/run", *arguments)
    assert finished.code == 0, finished.err
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/total"] for line in lines if "loss/total" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert any("eval/pq" in line and "eval/miou" in line for line in lines)

    finished = kmax(
        "export",
        f"--checkpoint={tmp_path}/run",
        f"--export_dir={tmp_path}/model",
        "--no_latency",
        *arguments,
    )
    assert finished.code == 0, finished.out + finished.err
    signatures = tf.saved_model.load(str(tmp_path / "model/1")).signatures
    image = sorted((data_folder / "shapes/images").rglob("*.jpg"))[0].read_bytes()
    outputs = signatures["serving_default"](image_bytes=tf.constant([image] * 2))
    assert outputs["panoptic"].shape == (2, 49, 65)
    any_size = signatures["image_tensor"](image=tf.zeros([1, 70, 40, 3], tf.uint8))
    assert any_size["panoptic"].shape == (1, 70, 40)

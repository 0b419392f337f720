"""The COCO config at full model size on a few hand-made images."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.coco_folder import write_coco_folder
from trainer import cli


@pytest.mark.slow
def test_trains_saves_and_evaluates(tmp_path, repository_root, monkeypatch, capfd):
    write_coco_folder(tmp_path / "coco")
    records = tmp_path / "data/coco/tfrecords"
    arguments = [f"--input_dir={tmp_path}/coco", f"--output_dir={records}"]
    assert cli.main(["build-data", "coco_panoptic", *arguments]) == 0
    monkeypatch.setenv("KMAX_DATA", str(tmp_path / "data"))
    overrides = (
        "train_dataset_options.crop_size=161,161",
        "eval_dataset_options.crop_size=161,161",
        "train_dataset_options.batch_size=1",
        "trainer_options.solver_options.training_number_of_steps=2",
    )
    config = repository_root / "configs/coco/kmax_r50.textproto"
    command = ["train", f"--config_file={config}", f"--model_dir={tmp_path}/run"]
    for override in overrides:
        command += ["--set", override]
    assert cli.main(command) == 0, capfd.readouterr().err
    assert (tmp_path / "run/ckpt-2.index").exists()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any("eval/pq" in line for line in lines)

"""A config of deeplab2 through the command line, a toy in place of the network."""

from __future__ import annotations

import pathlib

import pytest

from kmax_tf.build.config import load_config
from tests.configs.deeplab2_files import deeplab2_text
from trainer import train

COCO = "coco/kmax_deeplab/kmax_meta_r50_os32"
CROP = 65
SMALL = (
    "train_dataset_options.dataset_info=shapes",
    "eval_dataset_options.dataset_info=shapes",
    f"train_dataset_options.crop_size={CROP},{CROP}",
    f"eval_dataset_options.crop_size={CROP},{CROP}",
    "train_dataset_options.batch_size=2",
    "trainer_options.solver_options.training_number_of_steps=2",
    "trainer_options.solver_options.warmup_steps=0",
    "trainer_options.steps_per_loop=1",
)


@pytest.fixture
def old_file(tmp_path) -> pathlib.Path:
    file = tmp_path / "kmax_meta_r50_os32.textproto"
    file.write_text(deeplab2_text(COCO))
    return file


def arguments(file: pathlib.Path, *values: str) -> list:
    return [f"--config_file={file}", "--num_gpus=0", *(f"--set={value}" for value in values)]


def test_a_missing_data_set_is_told_with_the_placeholder(old_file, capfd):
    assert train.main(arguments(old_file)) == 2
    captured = capfd.readouterr().err.splitlines()
    assert "kmax: `train_dataset_options.file_pattern` is '${TRAIN_SET}'" in captured[-1]
    assert "--set TRAIN_SET=..." in captured[-1]
    assert captured[0].startswith(
        "kmax: kmax_meta_r50_os32.textproto: a config of deeplab2 (kmax_r"
    )


def test_a_pattern_without_files_is_told_with_the_pattern(old_file, capfd):
    assert train.main(arguments(old_file, "TRAIN_SET=no/train-*", "VAL_SET=no/val-*")) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("kmax: No files match no/train-* (`train_dataset_options.file_pattern`)")
    assert "`kmax build-data coco_panoptic" in last


def test_names_that_are_still_missing_come_before_anything_is_written(
    old_file, capfd, data_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    records = f"{data_folder}/shapes/tfrecords"
    values = [f"TRAIN_SET={records}/train-*", f"VAL_SET={records}/val-*"]
    assert train.main(arguments(old_file, *values)) == 2
    assert "kmax: `experiment_name` is '${EXPERIMENT_NAME}'" in capfd.readouterr().err
    values.append("EXPERIMENT_NAME=mine")
    assert train.main(arguments(old_file, *values)) == 2
    assert "kmax: `model_options.initial_checkpoint` is" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [old_file]


def test_it_trains_from_its_checkpoint_and_leaves_our_schema(
    run, old_file, data_folder, tmp_path, monkeypatch, capfd
):
    assert run(folder="before", steps=1) == 0
    monkeypatch.chdir(tmp_path)
    records = f"{data_folder}/shapes/tfrecords"
    values = [
        f"TRAIN_SET={records}/train-*",
        f"VAL_SET={records}/val-*",
        f"INIT_CHECKPOINT={tmp_path}/before",
        "EXPERIMENT_NAME=mine",
        *SMALL,
    ]
    capfd.readouterr()
    assert train.main(arguments(old_file, *values)) == 0, capfd.readouterr().err
    folder = tmp_path / "runs/mine"
    assert (folder / "ckpt-2.index").exists()
    text = (folder / "config.textproto").read_text()
    assert "kmax_pixel_decoder" in text
    assert "max_deeplab" not in text
    assert load_config(folder / "config.textproto") == load_config(old_file, values)
    assert "kmax_meta_r50_os32.textproto: a config of deeplab2" in capfd.readouterr().err

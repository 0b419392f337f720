from __future__ import annotations

import pathlib

import pytest

from kmax_tf.build.config import load_config
from trainer import preflight


@pytest.fixture
def config(repository_root):
    path = repository_root / "configs" / "coco" / "kmax_r50.textproto"
    return load_config(path, ["KMAX_DATA=nowhere"])


def test_missing_records_name_files_and_command(config):
    with pytest.raises(ValueError, match="No files match") as error:
        preflight.require_records(config, "train_and_eval")
    message = str(error.value)
    assert "nowhere/coco/tfrecords/train-*" in message
    assert "nowhere/coco/tfrecords/val-*" in message
    assert (
        "`kmax build-data coco_panoptic --input_dir=FOLDER --output_dir=nowhere/coco/tfrecords`"
        in message
    )
    assert "\n" not in message


def test_a_mode_needs_only_its_own_records(config, tmp_path):
    (tmp_path / "train-0").touch()
    del config.train_dataset_options.file_pattern[:]
    config.train_dataset_options.file_pattern.append(str(tmp_path / "train-*"))
    preflight.require_records(config, "train")
    with pytest.raises(ValueError, match=r"val-\*"):
        preflight.require_records(config, "eval")
    config.ClearField("eval_dataset_options")
    with pytest.raises(ValueError, match="`--mode=eval` needs `eval_dataset_options`"):
        preflight.require_records(config, "eval")


def test_unset_patterns_and_placeholders_are_named(config):
    del config.train_dataset_options.file_pattern[:]
    with pytest.raises(ValueError, match=r"`train_dataset_options.file_pattern` must name"):
        preflight.require_records(config, "train")
    config.train_dataset_options.file_pattern.append("${MY_DATA}/train-*")
    with pytest.raises(ValueError, match="MY_DATA"):
        preflight.require_records(config, "train")


def test_the_command_that_makes_the_records():
    assert (
        preflight.build_command("shapes", "data/shapes/tfrecords/train-*")
        == "kmax build-data shapes --output_dir=data/shapes"
    )
    assert (
        preflight.build_command("mine/dataset_info.json", "mine/train-*")
        == "kmax build-data coco_format --input_dir=FOLDER --output_dir=mine"
    )


def test_a_run_folder_of_another_machine_is_refused(config):
    assert preflight.choose_run_folder(config, "a/b") == pathlib.Path("a/b")
    with pytest.raises(ValueError, match=r"`--model_dir` must be .* received gs://bucket/run\."):
        preflight.choose_run_folder(config, "gs://bucket/run")


def test_a_run_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for create in (True, False):
        with pytest.raises(ValueError, match=r"`--model_dir` .*file.run cannot be written"):
            preflight.require_writable(tmp_path / "file" / "run", create=create)
    preflight.require_writable(tmp_path / "a" / "b", create=False)
    assert not (tmp_path / "a").exists()
    preflight.require_writable(tmp_path / "a" / "b", create=True)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_interrupted_conversion_is_named(config, tmp_path):
    options = config.train_dataset_options
    del options.file_pattern[:]
    options.file_pattern.append(str(tmp_path / "train-*"))
    for name in ("train-00000-of-00003", "train-00002-of-00003", "train-extra-00001-of-00003"):
        (tmp_path / f"{name}.tfrecord").touch()
    with pytest.raises(ValueError, match=r"Only 2 of the 3 files .*train-\*-of-00003") as error:
        preflight.require_records(config, "train")
    message = str(error.value)
    assert "`train_dataset_options.file_pattern`" in message
    assert "(1 missing)" in message
    assert f"build-data coco_panoptic --input_dir=FOLDER --output_dir={tmp_path}`" in message
    (tmp_path / "train-extra-00001-of-00003.tfrecord").unlink()
    (tmp_path / "train-00001-of-00003.tfrecord").touch()
    preflight.require_records(config, "train")
    # One file of a complete split may be chosen.
    options.file_pattern[0] = str(tmp_path / "train-00001-*")
    preflight.require_records(config, "train")


def test_the_run_folder_is_given_or_named_after_the_experiment(config):
    assert preflight.choose_run_folder(config, None) == pathlib.Path("runs/coco_kmax_r50")
    assert preflight.choose_run_folder(config, "there") == pathlib.Path("there")
    config.experiment_name = "${EXPERIMENT_NAME}"
    assert preflight.choose_run_folder(config, "there") == pathlib.Path("there")
    with pytest.raises(ValueError, match=r"`experiment_name` .*--set EXPERIMENT_NAME="):
        preflight.choose_run_folder(config, None)


def test_weights_with_an_unfilled_place_are_missed_before_anything_slow(config, tmp_path):
    options = config.model_options
    preflight.require_weights(config, "train", tmp_path)
    options.pretrained_weights = "${PRETRAINED_WEIGHTS}"
    with pytest.raises(ValueError, match=r"`model_options\.pretrained_weights`.*PRETRAINED_WEIG"):
        preflight.require_weights(config, "train", tmp_path)
    preflight.require_weights(config, "eval", tmp_path)  # It reads a whole checkpoint instead.
    options.initial_checkpoint = "somewhere"  # It may hold the encoder.
    preflight.require_weights(config, "train", tmp_path)
    options.initial_checkpoint = "${INIT_CHECKPOINT}"
    for mode in ("train", "eval"):
        with pytest.raises(ValueError, match=r"`model_options\.initial_checkpoint`.*INIT_CHECKPO"):
            preflight.require_weights(config, mode, tmp_path)
    preflight.require_weights(config, "continuous_eval", tmp_path)
    (tmp_path / "checkpoint").touch()  # The run goes on from its own checkpoint.
    preflight.require_weights(config, "train", tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere"])
def test_the_name_of_an_experiment_stays_below_runs(config, name):
    config.experiment_name = name
    with pytest.raises(
        ValueError, match=r"^`experiment_name` must be a path inside runs, relative"
    ):
        preflight.choose_run_folder(config, None)
    assert preflight.choose_run_folder(config, "../mine") == pathlib.Path("../mine")

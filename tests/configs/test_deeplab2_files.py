"""deeplab2's own files and ours arrive at the same settings."""

from __future__ import annotations

import logging
import pathlib
from typing import Tuple

import pytest

from kmax_tf.build.config import load_config
from protos import experiment_pb2
from tests.configs.deeplab2_files import MISSPELT, all_settings, deeplab2_text, published
from tests.configs.effective import effective_settings

STEPS = "trainer_options.solver_options.training_number_of_steps"


def load_old(path: str, folder: pathlib.Path, *overrides: str) -> experiment_pb2.ExperimentOptions:
    file = folder / f"{path.rpartition('/')[2]}.textproto"
    file.write_text(deeplab2_text(path))
    return load_config(file, overrides)


def our_file(path: str) -> Tuple[str, Tuple[str, ...]]:
    """Name of the file of the same model below `configs/`, and what to override."""
    dataset, _, name = path.split("/")
    if name.startswith("max_deeplab"):
        size, resolution, steps = (
            name.replace("max_deeplab_", "").replace("os16_res", "").split("_")
        )
        suffix = "_1025" if (size, resolution) == ("s", "1025") else ""
        return f"coco/max_deeplab_{size}{suffix}", (f"{STEPS}={steps[:-1]}000",)
    name = name.replace("kmax_meta_", "kmax_").replace("_os32", "").replace("_res1281", "_1281")
    return f"{dataset}/{name}", ()


@pytest.mark.parametrize("path", published())
def test_the_same_settings_from_deeplab2s_file_and_from_ours(path, tmp_path, repository_root):
    name, overrides = our_file(path)
    ours = load_config(repository_root / "configs" / f"{name}.textproto", overrides)
    assert effective_settings(load_old(path, tmp_path)) == effective_settings(ours)


def test_every_published_model_has_a_file_of_ours(repository_root):
    folders = ("coco", "cityscapes", "ade20k")
    files = {
        f"{folder}/{file.stem}"
        for folder in folders
        for file in (repository_root / "configs" / folder).glob("*.textproto")
    }
    assert {our_file(path)[0] for path in published()} == files
    assert len(files) == 19
    assert len(published()) == 25


def test_places_and_placeholders_are_carried_over(tmp_path):
    path = "coco/kmax_deeplab/kmax_meta_r50_os32"
    overrides = ["TRAIN_SET=train-*", "INIT_CHECKPOINT=ckpt-1", "EXPERIMENT_NAME=mine"]
    config = load_old(path, tmp_path, *overrides)
    assert config.experiment_name == "mine"
    assert config.model_options.initial_checkpoint == "ckpt-1"
    assert list(config.train_dataset_options.file_pattern) == ["train-*"]
    assert list(config.eval_dataset_options.file_pattern) == ["${VAL_SET}"]
    config = load_old(path.replace("r50", "convnext_base"), tmp_path)
    assert config.model_options.pretrained_weights == "${PRETRAINED_WEIGHTS}"
    assert not config.model_options.initial_checkpoint


def test_the_misspelt_file_is_read_with_a_warning_that_names_field_and_line(tmp_path, caplog):
    config = load_old(MISSPELT, tmp_path)
    assert config.model_options.kmax_transformer_decoder.drop_path_keep_prob == 1
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    field = "transformer_decoder_drop_path_keep_prob"
    lines = deeplab2_text(MISSPELT).splitlines()
    number = next(i for i, line in enumerate(lines, 1) if field in line)
    assert f"os32.textproto:{number}: `model_options.max_deeplab.{field}` is ignored" in warning


@pytest.mark.parametrize("path", [p for p in all_settings() if p not in published()])
def test_the_examples_give_a_model_once_their_data_set_is_named(path, tmp_path):
    with pytest.raises(ValueError, match=r"`train_dataset_options\.dataset_info` must name"):
        load_old(path, tmp_path)
    config = load_old(path, tmp_path, "train_dataset_options.dataset_info=coco_panoptic")
    assert config.model_options.mask_head.output_channels == 128
    assert not config.HasField("eval_dataset_options")
    assert not config.trainer_options.loss_options.kmax.ListFields()

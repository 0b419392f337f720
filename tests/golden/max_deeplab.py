"""The reference implementation's numbers for MaX-DeepLab-S, COCO, 77.8 M parameters."""

from __future__ import annotations

import gzip
import json
import pathlib
import zlib
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from protos import experiment_pb2
from tests.golden.fill_rule import SUFFIX
from tests.golden.fill_rule import fill as fill_of_all_models

FOLDER = pathlib.Path(__file__).resolve().parent / "model"
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


class Entry(NamedTuple):
    """One variable of a published checkpoint; `backbone` is unset for moving statistics."""

    shape: List[int]
    trainable: bool
    backbone: Optional[bool]


def manifest() -> Dict[str, Entry]:
    """Key of each model variable in a published checkpoint -> shape and how it is trained."""
    with gzip.open(FOLDER / "max_deeplab_s.manifest.json.gz", "rt") as file:
        return {path + SUFFIX: Entry(*entry) for path, entry in json.load(file).items()}


def arrays() -> Dict[str, np.ndarray]:
    """Images, outputs, intermediate features and moving statistics."""
    with np.load(FOLDER / "max_deeplab_s.npz") as file:
        return dict(file)


def tiny_config(variant: str, overrides: Sequence[str] = ()) -> experiment_pb2.ExperimentOptions:
    """The tiny config for `max_deeplab_s` or `max_deeplab_l`."""
    name = f"model_options.dual_path_transformer.variant={variant}"
    config = load_config(CONFIGS / "test/tiny_max_deeplab.textproto", [name, *overrides])
    if variant == "max_deeplab_l":
        config.model_options.semantic_head.ClearField("decoder")
    return config


def build_published(variant: str, overrides: Sequence[str] = ()) -> tf.keras.Model:
    """The model of a published config, for crops of 65x97 and without drop path."""
    fixed = [
        "train_dataset_options.crop_size=65,97",
        "model_options.dual_path_transformer.drop_path_keep_prob=1",
    ]
    return build_model(load_config(CONFIGS / f"coco/{variant}.textproto", [*fixed, *overrides]))


def fill(key: str, shape: Sequence[int]) -> np.ndarray:
    """The fill rule with an entry for the memory."""
    if key == "encoder/memory_feature" + SUFFIX:
        random = np.random.RandomState(zlib.crc32(key.encode("utf-8")) & 0xFFFFFFFF)
        return random.standard_normal(tuple(shape)).astype(np.float32)
    return fill_of_all_models(key, shape)


def fill_variables(model: tf.keras.Model) -> None:
    """Sets all variables of an S by the fill rule."""
    for path, variable in variables_by_path(model).items():
        variable.assign(fill(deeplab2_name(path), variable.shape))

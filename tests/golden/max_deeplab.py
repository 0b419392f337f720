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
from kmax_tf.build.model import build_model_for
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from kmax_tf.data.dataset_info import load_dataset_info
from protos import experiment_pb2
from tests.golden.fill_rule import SUFFIX
from tests.golden.fill_rule import fill as fill_of_all_models

FOLDER = pathlib.Path(__file__).resolve().parent / "model"
TINY = pathlib.Path(__file__).resolve().parents[2] / "configs/test/tiny_max_deeplab.textproto"

PUBLISHED_SIZES = [
    "model_options.dual_path_transformer.num_mask_slots=128",
    "model_options.dual_path_transformer.drop_path_keep_prob=1",
    "model_options.dual_path_transformer.width_multiplier=1",
    "model_options.mask_head.head_channels=256",
    "model_options.mask_head.output_channels=128",
    "model_options.mask_head.mask_logit_gamma=0.1",
    "model_options.semantic_head.head_channels=256",
    "model_options.semantic_head.decoder.aspp_channels=256",
    "model_options.semantic_head.decoder.decoder_channels=256",
    "model_options.semantic_head.decoder.auxiliary_low_level.0.channels_project=64",
    "model_options.semantic_head.decoder.auxiliary_low_level.1.channels_project=32",
    "trainer_options.solver_options.batchnorm_momentum=0.99",
    "train_dataset_options.crop_size=65,97",
]


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


def config(variant: str, overrides: Sequence[str] = ()) -> experiment_pb2.ExperimentOptions:
    """The tiny config for `max_deeplab_s` or `max_deeplab_l`."""
    name = f"model_options.dual_path_transformer.variant={variant}"
    loaded = load_config(TINY, [name, *overrides])
    if variant == "max_deeplab_l":
        loaded.model_options.semantic_head.ClearField("decoder")
    return loaded


def build(variant: str, overrides: Sequence[str] = ()) -> tf.keras.Model:
    """As `config`, the model for the classes of COCO."""
    return build_model_for(config(variant, overrides), load_dataset_info("coco_panoptic"))


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

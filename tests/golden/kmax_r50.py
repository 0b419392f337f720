"""The reference implementation's numbers for kMaX-DeepLab, ResNet-50, COCO, 72.7 M parameters."""

from __future__ import annotations

import gzip
import json
import pathlib
from typing import Dict, List, NamedTuple

import numpy as np
import tensorflow as tf

from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.golden.fill_rule import SUFFIX, fill

FOLDER = pathlib.Path(__file__).resolve().parent / "model"


class Entry(NamedTuple):
    """One variable of a published checkpoint."""

    shape: List[int]
    trainable: bool


def manifest() -> Dict[str, Entry]:
    """Key of each model variable in a published checkpoint -> shape and whether it is trained."""
    with gzip.open(FOLDER / "kmax_r50_coco.manifest.json.gz", "rt") as file:
        return {path + SUFFIX: Entry(*entry) for path, entry in json.load(file).items()}


def arrays() -> Dict[str, np.ndarray]:
    """Images, outputs, intermediate features, gradients and moving statistics."""
    with np.load(FOLDER / "kmax_r50_coco.npz") as file:
        return dict(file)


def fill_variables(model: tf.keras.Model, damp_residuals: bool = False) -> None:
    """Sets all variables by the fill rule.

    Args:
      model: has the variables of the manifest.
      damp_residuals: whether the last scale of residual branches is smaller, as in the training
        case; else rounding noise alone flips assignments of a batch of two.
    """
    for path, variable in variables_by_path(model).items():
        key = deeplab2_name(path)
        value = fill(key, variable.shape)
        residual = "conv3_bn/" in key or "ffn_conv2_bn/" in key
        if damp_residuals and residual and key.endswith("gamma" + SUFFIX):
            value = value * 0.2
        variable.assign(value)

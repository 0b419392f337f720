"""The reference implementation's numbers for kMaX-DeepLab on COCO: one model per encoder family."""

from __future__ import annotations

import gzip
import json
import pathlib
from typing import Callable, Dict, List, NamedTuple

import numpy as np
import tensorflow as tf

from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.golden.fill_rule import SUFFIX, fill

FOLDER = pathlib.Path(__file__).resolve().parent / "model"

ENCODERS = {
    "kmax_r50": "resnet",
    "kmax_axial_r50": "axial_resnet",
    "kmax_convnext_tiny": "convnext",
}
"""Name of a model, and of its config -> its encoder in the config."""


class Entry(NamedTuple):
    """One variable of a published checkpoint."""

    shape: List[int]
    trainable: bool


def manifest(name: str) -> Dict[str, Entry]:
    """Key of each model variable in a published checkpoint -> shape and whether it is trained."""
    with gzip.open(FOLDER / f"{name}_coco.manifest.json.gz", "rt") as file:
        return {path + SUFFIX: Entry(*entry) for path, entry in json.load(file).items()}


def arrays(name: str) -> Dict[str, np.ndarray]:
    """Images, outputs, intermediate features, gradients and moving statistics.

    Large arrays hold every 4th (`every4`) or 8th element along axes 1 and 2, or the first (`head`)
    and last (`tail`) pixels and channels; `l2` is the norm of the whole.
    """
    with np.load(FOLDER / f"{name}_coco.npz") as file:
        return dict(file)


def fill_variables(root: tf.Module, prefix: str = "", damp_residuals: bool = False) -> None:
    """Sets all variables by the fill rule.

    Args:
      root: a model, or a part of one.
      prefix: path of the part in the model, `pixel_encoder/`.
      damp_residuals: whether the last scale of residual branches is smaller, as in the training
        case; else rounding noise alone flips assignments of a batch of two.
    """
    for path, variable in variables_by_path(root).items():
        key = deeplab2_name(prefix + path)
        value = fill(key, variable.shape)
        residual = "conv3_bn/" in key or "ffn_conv2_bn/" in key
        if damp_residuals and residual and key.endswith("gamma" + SUFFIX):
            value = value * 0.2
        variable.assign(value)


def relative_error(actual: tf.Tensor, expected: np.ndarray) -> float:
    """Norm of the difference over the norm of what is expected."""
    assert tuple(actual.shape) == expected.shape
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


_PARTS: Dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "head": lambda tensor: tensor[:, :4, :4, :16],
    "tail": lambda tensor: tensor[:, -2:, -2:, -16:],
    "every4": lambda tensor: tensor[:, ::4, ::4] if tensor.shape.rank == 4 else tensor[:, ::4],
    "every8": lambda tensor: tensor[:, ::8, ::8],
    "l2": lambda tensor: tf.norm(tf.cast(tensor, tf.float64)),
}


def relative_errors(
    tensor: tf.Tensor, expected: Dict[str, np.ndarray], name: str
) -> Dict[str, float]:
    """Relative error of each part of a tensor that is stored below `name`."""
    return {
        f"{name}/{part}": relative_error(take(tensor), expected[f"{name}/{part}"])
        for part, take in _PARTS.items()
        if f"{name}/{part}" in expected
    }

"""Models and files of a few variables, with the names of the real ones."""

from __future__ import annotations

import pathlib
from typing import Dict, Mapping, Sequence

import numpy as np
import tensorflow as tf

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

KMAX = {
    "pixel_encoder/stem/kernel": (7, 7, 3, 2),
    "pixel_encoder/stem/norm/gamma": (2,),
    "pixel_encoder/stages/0/0/conv1/kernel": (1, 1, 2, 2),
    "pixel_decoder/input_norms/0/gamma": (2,),
    "transformer_decoder/cluster_centers": (1, 8, 2),
    "transformer_decoder/class_projection/kernel": (1, 2, 2),
    "transformer_decoder/blocks/0/predictor/class_projection/kernel": (1, 2, 5),
    "mask_head/class_projection/bias": (5,),
    "mask_head/mask_norm/gamma": (1,),
    "semantic_head/projection/kernel": (1, 1, 2, 4),
}
"""Path -> shape of a kMaX-DeepLab with 4 classes."""

DEEPLAB2 = {
    "pixel_encoder/stem/kernel": "encoder/_stem/_conv/kernel",
    "pixel_encoder/stem/norm/gamma": "encoder/_stem/_batch_norm/gamma",
    "pixel_encoder/stages/0/0/conv1/kernel": "encoder/_stage2/_block1/_conv1_bn_act/_conv/kernel",
    "pixel_decoder/input_norms/0/gamma": "pixel_decoder/_backbone_norms/0/gamma",
    "transformer_decoder/cluster_centers": "transformer_decoder/cluster_centers",
    "transformer_decoder/class_projection/kernel": "transformer_decoder/"
    "_class_embedding_projection/_conv/kernel",
    "transformer_decoder/blocks/0/predictor/class_projection/kernel": "transformer_decoder/"
    "_kmax_decoder/0/_block1_transformer/_auxiliary_clustering_predictor/"
    "_transformer_class_head/_conv/kernel",
    "mask_head/class_projection/bias": "transformer_class_head/_conv/bias",
    "mask_head/mask_norm/gamma": "pixel_space_mask_batch_norm/gamma",
    "semantic_head/projection/kernel": "semantic_last_layer/kernel",
}
"""Path -> name in a deeplab2 checkpoint, typed from the published names."""

HEADS = {path for path in KMAX if path.endswith("class_projection/kernel") and "blocks" in path}
HEADS |= {"mask_head/class_projection/bias", "semantic_head/projection/kernel"}
ENCODER = {path for path in KMAX if path.startswith("pixel_encoder/")}


def model(shapes: Mapping[str, Sequence[int]] = KMAX, fill: float = -1.0) -> tf.Module:
    """Objects whose attributes lead to variables at the given paths."""
    root = tf.Module()
    for path, shape in shapes.items():
        *parents, leaf = path.split("/")
        node = root
        for parent in parents:
            if not hasattr(node, parent):
                setattr(node, parent, tf.Module())
            node = getattr(node, parent)
        setattr(node, leaf, tf.Variable(tf.fill(shape, fill)))
    return root


def arrays(shapes: Mapping[str, Sequence[int]] = KMAX) -> Dict[str, np.ndarray]:
    """An array of other numbers for each path."""
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}


def write(prefix: pathlib.Path, values: Mapping[str, np.ndarray], *, trained: bool = False) -> str:
    """Writes a checkpoint with arrays under these names (`encoder/_stem/_conv/kernel`).

    Args:
      prefix: of the file.
      values: by name, without the suffix of variables.
      trained: whether the entries of deeplab2's optimisers, step and objects are there too.
    """
    named = {name + SUFFIX: value for name, value in values.items()}
    if trained:
        for name, value in values.items():
            optimizer = "backbone_optimizer" if name.startswith("encoder/") else "optimizer"
            for slot in "mv":
                named[f"{name}/.OPTIMIZER_SLOT/{optimizer}/{slot}{SUFFIX}"] = value
        for optimizer in ("optimizer", "backbone_optimizer"):
            for scalar in ("iter", "beta_1", "_current_learning_rate"):
                named[f"{optimizer}/{scalar}{SUFFIX}"] = np.float32(1.0)
        named["global_step" + SUFFIX] = np.int64(150000)
        named["save_counter" + SUFFIX] = np.int64(7)
        named["_CHECKPOINTABLE_OBJECT_GRAPH"] = np.array(b"not read", object)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(named)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(named[name]) for name in names],
    )
    return str(prefix)


def deeplab2_names(values: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """The same arrays by deeplab2's names."""
    return {DEEPLAB2[path]: value for path, value in values.items()}

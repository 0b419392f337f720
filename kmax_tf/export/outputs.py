"""What an export can return, and the choice of it."""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.structures import MaskPrediction, PanopticPrediction

Outputs = Dict[str, tf.Tensor]

ServedNetwork = Callable[[tf.Tensor], Outputs]
"""float32 [B, h, w, 3] in 0..255 -> named outputs, maps [B, h, w]."""

RunFile = Callable[[np.ndarray], Dict[str, np.ndarray]]
"""A `ServedNetwork` that runs without TensorFlow, on one image of one size: B = 1."""

MAPS = ("panoptic", "semantic", "instance_score", "semantic_score")
"""Outputs with a value per pixel of the network's input."""

ROWS = ("segment_id", "segment_class", "segment_score")
"""Outputs [B, Q] that are always there: small, and without them nobody sees NaN."""

LOGITS = ("mask_logits", "class_logits")
"""float32 [B, h/4, w/4, Q] at the stride of the masks, and [B, Q, C+1], void last."""

CHOICES: Dict[str, Tuple[str, ...]] = {
    "panoptic": ("panoptic",),
    "semantic": ("semantic",),
    "scores": ("instance_score", "semantic_score"),
    "mask_logits": LOGITS,
}
"""Name of a choice -> the outputs that it adds."""

DEFAULT_CHOICES = ("panoptic", "semantic")


def served_network(inference: Inference, choices: Sequence[str] = DEFAULT_CHOICES) -> ServedNetwork:
    """Model and post-processing in one function that returns what is served.

    Args:
      inference: model, preprocessing and classes.
      choices: names in `CHOICES`.

    Raises:
      ValueError: an unknown choice, or none.
    """
    check_choices(choices)
    names = ROWS + tuple(output for choice in choices for output in CHOICES[choice])
    predict = inference.network_with_logits
    if predict is None or not set(names) & set(LOGITS):
        return lambda images: _pick(inference.network(images)._asdict(), names)
    return lambda images: _pick(_join(*predict(images)), names)


def check_choices(choices: Sequence[str]) -> None:
    """Raises ValueError for a choice that is not in `CHOICES`, and for none at all."""
    unknown = [name for name in choices if name not in CHOICES]
    if unknown or not choices:
        raise ValueError(
            f"`outputs` accepts {', '.join(CHOICES)}; received "
            f"{', '.join(map(repr, unknown)) or 'none'}."
        )


def _join(prediction: PanopticPrediction, masks: MaskPrediction) -> Outputs:
    return {
        **prediction._asdict(),
        "mask_logits": masks.mask_logits,
        "class_logits": masks.class_logits,
    }


def _pick(outputs: Outputs, names: Sequence[str]) -> Outputs:
    return {name: outputs[name] for name in names}

"""Inference in several passes, at other sizes and mirrored, averaged into one prediction."""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.finite import finite_images
from kmax_tf.matching.slots import SlotProbabilities, match_slots
from kmax_tf.shapes import dimensions, resize_bilinear
from kmax_tf.structures import MaskPrediction, ModelOutput

# The smallest normal number: its logarithm is finite, and no probability that counts is below it.
_LEAST_PROBABILITY = np.finfo(np.float32).tiny


class Pass(NamedTuple):
    """One run of the model.

    Attributes:
      size: height and width of its input; both fit the model.
      mirrored: whether the image is mirrored left-right, and the prediction back.
    """

    size: Tuple[int, int]
    mirrored: bool


def predict_in_passes(
    model: Callable[..., ModelOutput], images: tf.Tensor, passes: Sequence[Pass]
) -> ModelOutput:
    """Runs a model once per pass and averages the predictions.

    A mask transformer is free to put a segment into another slot in each pass, so predictions are
    not averaged by slot number: the slots of each further pass are first matched to those of the
    first one (`match_slots`). Of matched slots the mask probabilities (softmax over the slots, at
    the size of the first pass's masks) and the class probabilities are averaged.

    Args:
      model: `model(images, training=False) -> ModelOutput`.
      images: float32 [B, H, W, 3] in 0..255.
      passes: at least one; resized with aligned corners.

    Returns:
      `final` alone. For a single pass these are the logits of the model; for several, logarithms of
      the averaged probabilities, which softmax turns back into them. An image with a logit that is
      not finite in any of the passes has NaN everywhere.
    """
    first = _run_pass(model, images, passes[0])
    if len(passes) == 1:
        return ModelOutput(final=first)
    base = _probabilities(first)
    total, finite = base, finite_images(first)
    size = dimensions(first.mask_logits)[1:3]
    for later in passes[1:]:
        # One after the other: their intermediate results never share the memory.
        with tf.control_dependencies([total.masks]):
            prediction = _run_pass(model, tf.identity(images), later)
        finite = tf.logical_and(finite, finite_images(prediction))
        masks = resize_bilinear(prediction.mask_logits, size)
        other = _probabilities(prediction._replace(mask_logits=masks))
        slot = match_slots(base, other)
        total = SlotProbabilities(
            masks=total.masks + tf.gather(other.masks, slot, axis=3, batch_dims=1),
            classes=total.classes + tf.gather(other.classes, slot, axis=1, batch_dims=1),
        )

    def as_logits(total: tf.Tensor) -> tf.Tensor:
        logits = tf.math.log(tf.maximum(total / len(passes), _LEAST_PROBABILITY))
        # Resizing may skip a faulty pixel and matching a faulty slot: what was wrong must show.
        return tf.where(tf.reshape(finite, [-1] + [1] * (total.shape.rank - 1)), logits, np.nan)

    return ModelOutput(MaskPrediction(as_logits(total.classes), as_logits(total.masks)))


def _run_pass(model: Callable[..., ModelOutput], images: tf.Tensor, this: Pass) -> MaskPrediction:
    """The prediction of one pass, not resized."""
    images = resize_bilinear(images, this.size)
    final = model(tf.reverse(images, [2]) if this.mirrored else images, training=False).final
    masks = tf.reverse(final.mask_logits, [2]) if this.mirrored else final.mask_logits
    return MaskPrediction(final.class_logits, masks)


def _probabilities(prediction: MaskPrediction) -> SlotProbabilities:
    return SlotProbabilities(
        masks=tf.nn.softmax(prediction.mask_logits),
        classes=tf.nn.softmax(prediction.class_logits),
    )

"""Predictions of a model whose logits are not finite: marked in the graph, refused on the host.

NaN fails every comparison with a threshold, so without this such a prediction would be an honest
looking void.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.structures import MaskPrediction, ModelOutput, PanopticPrediction

PostProcess = Callable[..., PanopticPrediction]


class NonFinitePredictionError(FloatingPointError):
    """Logits of the model are not finite.

    Args:
      message: one sentence.
      images: the images that are concerned, as they were named to `require_finite`.
    """

    def __init__(self, message: str, images: Sequence[Any]) -> None:
        super().__init__(message)
        self.images = tuple(images)


def finite_images(prediction: MaskPrediction) -> tf.Tensor:
    """bool [B]: whether all class and mask logits of an image are finite."""
    return tf.logical_and(
        tf.reduce_all(tf.math.is_finite(prediction.class_logits), axis=[1, 2]),
        tf.reduce_all(tf.math.is_finite(prediction.mask_logits), axis=[1, 2, 3]),
    )


def mark_non_finite(post_process: PostProcess) -> PostProcess:
    """A post-processor that passes NaN on.

    Args:
      post_process: `ModelOutput -> PanopticPrediction`; further arguments are passed through.

    Returns:
      The same, but `segment_score` [B, Q] is NaN in all rows of an image with a class or mask logit
      that is not finite. What was marked reaches SavedModels and their clients too.
    """

    def process(output: ModelOutput, *arguments: Any, **named: Any) -> PanopticPrediction:
        prediction = post_process(output, *arguments, **named)
        finite = finite_images(output.final)
        score = tf.where(finite[:, tf.newaxis], prediction.segment_score, np.nan)
        return prediction._replace(segment_score=score)

    return process


def require_finite(segment_score: Any, images: Sequence[Any]) -> None:
    """Refuses predictions that `mark_non_finite` has marked.

    Args:
      segment_score: float32 [B, Q], array or tensor.
      images: B ids or names, for the message.

    Raises:
      NonFinitePredictionError: names the images.
    """
    finite = np.isfinite(np.asarray(segment_score)).all(axis=1)
    if finite.all():
        return
    faulty = [image for image, good in zip(images, finite) if not good]
    raise NonFinitePredictionError(
        "The model's logits are not finite (its weights hold NaN or infinity, or they overflow); "
        f"image{'s' if len(faulty) > 1 else ''}: {', '.join(map(str, faulty))}.",
        faulty,
    )

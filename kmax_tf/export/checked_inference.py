"""Model and post-processing from a config, with logits that are not finite marked as such."""

from __future__ import annotations

import os
from typing import Optional, Union

import tensorflow as tf

from kmax_tf.build.inference import Inference, build_inference
from kmax_tf.build.model import build_model
from kmax_tf.build.post_processing import build_post_processor
from kmax_tf.checkpoints.loading import find_checkpoint, load_checkpoint
from kmax_tf.finite import PostProcess, mark_non_finite
from kmax_tf.structures import PanopticPrediction
from protos import experiment_pb2


def build_checked_post_processor(config: experiment_pb2.ExperimentOptions) -> PostProcess:
    """`build_post_processor`, with `mark_non_finite`."""
    return mark_non_finite(build_post_processor(config))


def build_checked_inference(
    config: experiment_pb2.ExperimentOptions,
    *,
    checkpoint: Optional[Union[str, os.PathLike]] = None,
    model: Optional[tf.keras.Model] = None,
) -> Inference:
    """`build_inference`, with `mark_non_finite` in its network; arguments and errors are the same.

    Args:
      config: checked (`load_config`).
      checkpoint: prefix, or a folder, which means its latest; None = the weights stay as they are.
      model: built from `config` already; None = it is built here.
    """
    if checkpoint is not None:
        find_checkpoint(checkpoint)  # Before the slow part.
    built = build_model(config) if model is None else model
    if checkpoint is not None:
        load_checkpoint(built, checkpoint)
    post_process = build_checked_post_processor(config)

    def network(images: tf.Tensor) -> PanopticPrediction:
        return post_process(built(images, training=False))

    return build_inference(config, model=built)._replace(network=network)

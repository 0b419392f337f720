"""The weights that a run starts from: `ModelOptions` -> loaded variables."""

from __future__ import annotations

from typing import List

import tensorflow as tf

from kmax_tf.build.config import require_filled
from kmax_tf.checkpoints.loading import (
    load_checkpoint,
    load_encoder_weights,
    load_initial_checkpoint,
)
from kmax_tf.checkpoints.parts import part_of
from kmax_tf.checkpoints.report import LoadReport
from protos import model_pb2


def load_initial_weights(
    model: tf.keras.Model, options: model_pb2.ModelOptions
) -> List[LoadReport]:
    """Loads what a training starts from: `initial_checkpoint`, and `pretrained_weights` where the
    former is empty or has no pixel encoder.

    Args:
      model: has its variables; what is not loaded keeps its value.
      options: of the model.

    Returns:
      A report of each file that was read.

    Raises:
      ValueError: a file is missing or of another model, or a placeholder in its field is unfilled.
    """
    reports = []
    initial = require_filled(options.initial_checkpoint, "model_options.initial_checkpoint")
    if initial:
        reports.append(load_initial_checkpoint(model, initial, allow_missing=options.allow_missing))
    if options.pretrained_weights and not any(map(_holds_encoder, reports)):
        path = require_filled(options.pretrained_weights, "model_options.pretrained_weights")
        reports.append(load_encoder_weights(model.pixel_encoder, path))
    return reports


def load_weights_to_evaluate(
    model: tf.keras.Model, options: model_pb2.ModelOptions
) -> List[LoadReport]:
    """As `load_initial_weights`, but the initial checkpoint has to hold the whole model."""
    initial = require_filled(options.initial_checkpoint, "model_options.initial_checkpoint")
    return [load_checkpoint(model, initial)] if initial else []


def _holds_encoder(report: LoadReport) -> bool:
    return any(part_of(path) == "pixel_encoder" for path in report.loaded)

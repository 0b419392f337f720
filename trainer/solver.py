"""`SolverOptions` -> schedule and optimiser."""

from __future__ import annotations

from typing import Union

import tensorflow as tf

from protos import training_pb2
from trainer.optimizers import SGD, AdamW
from trainer.parameter_groups import collect_parameters
from trainer.schedules import Schedule, cosine_decay, polynomial_decay, with_warmup

Optimizer = Union[AdamW, SGD]


def build_schedule(options: training_pb2.SolverOptions) -> Schedule:
    """The learning rate of everything but the pixel encoder."""
    base = options.base_learning_rate
    if options.learning_policy == training_pb2.SolverOptions.COSINE:
        schedule = cosine_decay(base, num_steps=options.training_number_of_steps)
    else:
        schedule = polynomial_decay(
            base,
            num_steps=options.training_number_of_steps,
            power=options.poly_learning_power,
            end_rate=options.poly_end_learning_rate,
        )
    return with_warmup(schedule, base_rate=base, num_steps=options.warmup_steps)


def build_optimizer(model: tf.keras.Model, options: training_pb2.SolverOptions) -> Optimizer:
    """The optimiser of `model`, with its slots; call it in the strategy's scope."""
    parameters = collect_parameters(
        model, pixel_encoder_multiplier=options.backbone_learning_rate_multiplier
    )
    schedule = build_schedule(options)
    if options.optimizer == training_pb2.SolverOptions.SGD:
        return SGD(parameters, schedule=schedule)
    is_adamw = options.optimizer == training_pb2.SolverOptions.ADAMW
    decay = options.adamw_weight_decay if is_adamw else 0.0
    return AdamW(parameters, schedule=schedule, weight_decay=decay)

"""`SolverOptions` -> schedule and optimiser."""

from __future__ import annotations

import importlib.util
import platform
from typing import TYPE_CHECKING, Union

import tensorflow as tf

from protos import training_pb2
from trainer.optimizers import SGD, AdamW
from trainer.parameter_groups import collect_parameters
from trainer.schedules import Schedule, cosine_decay, polynomial_decay, with_warmup

if TYPE_CHECKING:
    from trainer.lamb import LAMB

Optimizer = Union[AdamW, SGD, "LAMB"]


def learning_rate_factor(options: training_pb2.SolverOptions, *, batch_size: int) -> float:
    """What the linear rule multiplies the learning rate by; 1 without a reference batch size.

    Accurate, Large Minibatch SGD (Goyal et al., https://arxiv.org/abs/1706.02677).

    Args:
      options: of the solver.
      batch_size: images per update, over all replicas and accumulated parts.
    """
    reference = options.reference_batch_size
    return batch_size / reference if reference else 1.0


def describe_learning_rate(options: training_pb2.SolverOptions, *, batch_size: int) -> str:
    """The learning rate after the warm-up, and how it comes about; arguments as above."""
    base = options.base_learning_rate
    if not options.reference_batch_size:
        return f"{base:g}"
    rate = base * learning_rate_factor(options, batch_size=batch_size)
    return f"{rate:g} = {base:g} * batch size {batch_size} / {options.reference_batch_size}"


def build_schedule(options: training_pb2.SolverOptions, *, batch_size: int) -> Schedule:
    """The learning rate of everything but the pixel encoder.

    The linear rule is about the whole schedule: warm-up and end rate are scaled with the base.

    Args:
      options: of the solver.
      batch_size: images per update, over all replicas and accumulated parts.
    """
    factor = learning_rate_factor(options, batch_size=batch_size)
    base = options.base_learning_rate * factor
    if options.learning_policy == training_pb2.SolverOptions.COSINE:
        schedule = cosine_decay(base, num_steps=options.training_number_of_steps)
    else:
        schedule = polynomial_decay(
            base,
            num_steps=options.training_number_of_steps,
            power=options.poly_learning_power,
            end_rate=options.poly_end_learning_rate * factor,
        )
    return with_warmup(schedule, base_rate=base, num_steps=options.warmup_steps)


def require_available(options: training_pb2.SolverOptions) -> None:
    """Raises ValueError where the optimiser needs a package that is not installed."""
    is_lamb = options.optimizer == training_pb2.SolverOptions.LAMB
    if is_lamb and importlib.util.find_spec("tensorflow_addons") is None:
        raise ValueError(
            "`trainer_options.solver_options.optimizer` LAMB needs tensorflow-addons, which exists "
            f"for Python 3.9 to 3.11 alone and is not installed here (Python "
            f"{platform.python_version()}): choose ADAMW, ADAM or SGD."
        )


def build_optimizer(
    model: tf.keras.Model, options: training_pb2.SolverOptions, *, batch_size: int
) -> Optimizer:
    """The optimiser of `model`, with its slots; call it in the strategy's scope.

    Args:
      model: with its variables.
      options: of the solver.
      batch_size: as for `build_schedule`.

    Raises:
      ValueError: the optimiser needs a package that is not installed.
    """
    require_available(options)
    parameters = collect_parameters(
        model, pixel_encoder_multiplier=options.backbone_learning_rate_multiplier
    )
    schedule = build_schedule(options, batch_size=batch_size)
    if options.optimizer == training_pb2.SolverOptions.SGD:
        return SGD(parameters, schedule=schedule)
    decay = options.adamw_weight_decay
    if options.optimizer == training_pb2.SolverOptions.LAMB:
        from trainer.lamb import LAMB

        return LAMB(parameters, schedule=schedule, weight_decay=decay)
    is_adamw = options.optimizer == training_pb2.SolverOptions.ADAMW
    return AdamW(parameters, schedule=schedule, weight_decay=decay if is_adamw else 0.0)

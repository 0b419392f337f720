"""`--check`: everything about a run that can be known without training."""

from __future__ import annotations

from typing import Dict, List

import tensorflow as tf

from kmax_tf.build.data import build_dataset, find_source, require_same_classes
from kmax_tf.build.initial_weights import load_initial_weights, load_weights_to_evaluate
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.report import summarize
from protos import experiment_pb2, training_pb2
from trainer import preflight
from trainer.accumulation import require_parts
from trainer.activation_memory import estimate_activations
from trainer.data_errors import explaining_bad_records
from trainer.distribution import require_divisible
from trainer.solver import describe_learning_rate, require_available

_GIB = 1024.0**3


def run_check(
    config: experiment_pb2.ExperimentOptions,
    mode: str,
    *,
    starts_anew: bool = True,
    num_replicas: int = 1,
) -> int:
    """Reads a batch of every data set, builds the model, and prints what was found.

    Args:
      config: checked.
      mode: decides which data sets are read.
      starts_anew: whether the run has no checkpoint yet, so that initial weights are loaded.
      num_replicas: devices that share a batch.

    Raises:
      ValueError: a record is at fault, or batch size or initial weights do not fit.
    """
    require_same_classes(config)
    lines: List[str] = [f"experiment   {config.experiment_name}"]
    if mode in preflight.TRAINING_MODES:
        require_available(config.trainer_options.solver_options)
        batch = config.train_dataset_options.batch_size
        require_divisible(batch, num_replicas, "train_dataset_options.batch_size")
        require_parts(batch, config.trainer_options.accumulation_steps, num_replicas)
        lines += _describe_data(config, "train_dataset_options")
    if mode in preflight.EVALUATING_MODES:
        lines += _describe_data(config, "eval_dataset_options")
    model = build_model(config)
    parameters = sum(v.shape.num_elements() for v in model.trainable_variables)
    lines.append(f"parameters   {parameters:,} in {len(model.trainable_variables)} variables")
    if starts_anew and mode != "continuous_eval":
        trains = mode in preflight.TRAINING_MODES
        load = load_initial_weights if trains else load_weights_to_evaluate
        reports = load(model, config.model_options)
        lines += [f"weights      {summarize(report)}" for report in reports]
    solver = config.trainer_options.solver_options
    if mode in preflight.TRAINING_MODES:
        batch = config.train_dataset_options.batch_size
        if num_replicas > 1:
            lines.append(f"devices      {num_replicas}, {batch // num_replicas} images each")
        steps = solver.training_number_of_steps
        records = find_source(config.train_dataset_options).total
        lines.append(
            f"steps        {steps:,} of {batch} images = {steps * batch / records:,.1f} epochs"
        )
        rate = describe_learning_rate(solver, batch_size=batch)
        lines.append(f"learning     rate {rate}")
        memory = estimate_memory(model, config)
        lines.append(
            "memory       "
            + ", ".join(f"{name} about {size / _GIB:.2f} GiB" for name, size in memory.items())
            + f" for {_describe_part(config)} (rough: from the order of operations in the graph of "
            "the network, without losses and working memory of operations)"
        )
    print("\n".join(lines))
    return 0


def estimate_memory(
    model: tf.keras.Model, config: experiment_pb2.ExperimentOptions
) -> Dict[str, float]:
    """Bytes that training needs, roughly.

    Returns:
      `weights and slots`: variables, gradients, optimiser slots and, where one is kept, the moving
      average, of one replica; `activations`: results of forward and backward pass for what is
      worked through at a time of the whole batch (all replicas, one part of
      `accumulation_steps`), recomputed or kept as the config says.
    """
    options, trainer = config.train_dataset_options, config.trainer_options
    is_sgd = trainer.solver_options.optimizer == training_pb2.SolverOptions.SGD
    trained = sum(v.shape.num_elements() for v in model.trainable_variables)
    total = sum(v.shape.num_elements() for v in model.variables)
    # Beside the weights: gradients, and their sum over the parts of a batch.
    numbers = total + trained * (2 if trainer.accumulation_steps > 1 else 1)
    numbers += trained * (1 if is_sgd else 2)
    if trainer.ema_decay:
        numbers += total
    height, width = options.crop_size
    activations = estimate_activations(
        model, batch_size=options.batch_size // trainer.accumulation_steps, crop=(height, width)
    )
    return {"weights and slots": 4.0 * numbers, "activations": float(activations)}


def _describe_part(config: experiment_pb2.ExperimentOptions) -> str:
    """The images that are worked through at a time, and what makes the figure differ."""
    parts = config.trainer_options.accumulation_steps
    batch = config.train_dataset_options.batch_size
    text = f"{batch // parts} of {batch} images at a time" if parts > 1 else "the whole batch"
    return f"{text}, recomputed" if config.trainer_options.recompute else text


def _describe_data(config: experiment_pb2.ExperimentOptions, part: str) -> List[str]:
    options = getattr(config, part)
    training = part == "train_dataset_options"
    with explaining_bad_records(config, [part]):
        batch = next(iter(build_dataset(options, training=training, seed=0, start_step=0)))
    height, width = batch[0]["image"].shape[1:3]
    name = "training data" if training else "evaluation data"
    records = find_source(options).total
    return [f"{name}: {records:,} records, read as {height}x{width}, {options.batch_size} a batch"]

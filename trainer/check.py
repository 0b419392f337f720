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
from trainer.data_errors import explaining_bad_records

# Results that reuse the memory of their input, or that the backward pass does not need.
_FREE = frozenset(
    (
        "AddN", "BroadcastTo", "Cast", "Const", "ExpandDims", "Fill", "Identity", "IdentityN",
        "NoOp", "Placeholder", "ReadVariableOp", "Reshape", "Shape", "Squeeze", "StopGradient",
        "StridedSlice", "PartitionedCall", "StatefulPartitionedCall", "ZerosLike",
    )
)  # fmt: skip
_GIB = 1024.0**3


def run_check(
    config: experiment_pb2.ExperimentOptions, mode: str, *, starts_anew: bool = True
) -> int:
    """Reads a batch of every data set, builds the model, and prints what was found.

    Args:
      config: checked.
      mode: decides which data sets are read.
      starts_anew: whether the run has no checkpoint yet, so that initial weights are loaded.

    Raises:
      ValueError: a record is at fault, or the initial weights do not fit.
    """
    require_same_classes(config)
    lines: List[str] = [f"experiment   {config.experiment_name}"]
    if mode in preflight.TRAINING_MODES:
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
        steps = solver.training_number_of_steps
        records = find_source(config.train_dataset_options).total
        lines.append(
            f"steps        {steps:,} of {batch} images = {steps * batch / records:,.1f} epochs"
        )
        memory = estimate_memory(model, config)
        lines.append(
            "memory       "
            + ", ".join(f"{name} about {size / _GIB:.2f} GiB" for name, size in memory.items())
            + " for the whole batch (rough; forward activations are kept for the backward pass)"
        )
    print("\n".join(lines))
    return 0


def estimate_memory(
    model: tf.keras.Model, config: experiment_pb2.ExperimentOptions
) -> Dict[str, float]:
    """Bytes that training needs, roughly.

    Returns:
      `weights and slots`: variables, gradients and optimiser slots of one replica; `activations`:
      results of the forward pass for the whole batch.
    """
    options = config.train_dataset_options
    solver = config.trainer_options.solver_options
    is_sgd = solver.optimizer == training_pb2.SolverOptions.SGD
    slots = 1 if is_sgd else 2
    trained = sum(v.shape.num_elements() for v in model.trainable_variables)
    other = sum(v.shape.num_elements() for v in model.non_trainable_variables)
    forward = tf.function(lambda images: model(images, training=True)).get_concrete_function(
        tf.TensorSpec([options.batch_size, *options.crop_size, 3], tf.float32)
    )
    activations = 0
    for operation in forward.graph.get_operations():
        if operation.type in _FREE:
            continue
        for output in operation.outputs:
            if output.dtype.is_floating and output.shape.is_fully_defined():
                activations += output.shape.num_elements() * output.dtype.size
    return {
        "weights and slots": 4.0 * (trained * (2 + slots) + other),
        "activations": float(activations),
    }


def _describe_data(config: experiment_pb2.ExperimentOptions, part: str) -> List[str]:
    options = getattr(config, part)
    training = part == "train_dataset_options"
    with explaining_bad_records(config, [part]):
        batch = next(iter(build_dataset(options, training=training, seed=0, start_step=0)))
    height, width = batch[0]["image"].shape[1:3]
    name = "training data" if training else "evaluation data"
    records = find_source(options).total
    return [f"{name}: {records:,} records, read as {height}x{width}, {options.batch_size} a batch"]

"""Checks of a config that the schema cannot express: ranges, lengths and contradictions."""

from __future__ import annotations

import math

from google.protobuf.message import Message

from kmax_tf.build.ranges import require_length, require_positive
from kmax_tf.build.validation_of_model import output_stride, validate_model
from kmax_tf.data.service_address import split_address
from protos import data_pb2, experiment_pb2, training_pb2


def validate(config: experiment_pb2.ExperimentOptions) -> None:
    """Raises ValueError naming the field, the value and what is accepted, for the first fault."""
    if not config.experiment_name:
        raise ValueError("`experiment_name` must not be empty: it names the run folder.")
    _finite(config, "")
    if not config.train_dataset_options.dataset_info:
        raise ValueError(
            "`train_dataset_options.dataset_info` must name the classes: a built-in data set or "
            "the path of a JSON file."
        )
    validate_model(config.model_options)
    stride = output_stride(config.model_options)
    _validate_dataset(config.train_dataset_options, "train_dataset_options", stride)
    if config.HasField("eval_dataset_options"):
        _validate_dataset(config.eval_dataset_options, "eval_dataset_options", stride)
        if config.eval_dataset_options.data_service:
            raise ValueError(
                "`eval_dataset_options.data_service` must be empty: an evaluation reads its "
                f"images itself, each once; received {config.eval_dataset_options.data_service!r}."
            )
    _validate_trainer(config.trainer_options)
    _validate_losses(config)
    _validate_evaluator(config)


def _validate_dataset(options: data_pb2.DatasetOptions, path: str, stride: int) -> None:
    if options.batch_size < 1:
        raise ValueError(f"`{path}.batch_size` must be at least 1; received {options.batch_size}.")
    require_length(options.crop_size, (2,), f"{path}.crop_size")
    for size in options.crop_size:
        if size < stride + 1 or (size - 1) % stride:
            near = max(1, round((size - 1) / stride)) * stride + 1
            raise ValueError(
                f"`{path}.crop_size` must be k * {stride} + 1, for example {near}; received "
                f"{','.join(map(str, options.crop_size))}."
            )
    for name in ("min_resize_value", "max_resize_value"):
        require_length(getattr(options, name), (0, 1, 2), f"{path}.{name}")
    limits = list(options.max_resize_value)
    for limit, crop in zip(limits * 2 if len(limits) == 1 else limits, options.crop_size):
        if limit > crop:
            raise ValueError(
                f"`{path}.max_resize_value` must not exceed `crop_size` ({crop}); received {limit}."
            )
    if options.max_thing_id < 1:
        raise ValueError(
            f"`{path}.max_thing_id` must be at least 1; received {options.max_thing_id}."
        )
    if options.max_bad_records < 0:
        raise ValueError(
            f"`{path}.max_bad_records` must not be negative; received {options.max_bad_records}."
        )
    if options.data_service:
        split_address(options.data_service, f"{path}.data_service")
    augmentations = options.augmentations
    if not 0 < augmentations.min_scale_factor <= augmentations.max_scale_factor:
        raise ValueError(
            f"`{path}.augmentations` needs 0 < min_scale_factor <= max_scale_factor; received "
            f"{augmentations.min_scale_factor:g} and {augmentations.max_scale_factor:g}."
        )
    if augmentations.scale_factor_step_size < 0:
        raise ValueError(
            f"`{path}.augmentations.scale_factor_step_size` must not be negative; received "
            f"{augmentations.scale_factor_step_size:g}."
        )


def _validate_trainer(options: training_pb2.TrainerOptions) -> None:
    for name in (
        "num_checkpoints_to_keep",
        "save_checkpoints_steps",
        "save_summaries_steps",
        "steps_per_loop",
        "stall_timeout",
    ):
        require_positive([getattr(options, name)], f"trainer_options.{name}")
    if options.max_total_loss < 0:
        raise ValueError(
            "`trainer_options.max_total_loss` must not be negative (0 = no limit); received "
            f"{options.max_total_loss:g}."
        )
    for name in ("save_summaries_steps", "save_checkpoints_steps"):
        if getattr(options, name) % options.steps_per_loop:
            raise ValueError(
                f"`trainer_options.{name}` must be a multiple of `steps_per_loop` "
                f"({options.steps_per_loop}); received {getattr(options, name)}."
            )
    if not 0 <= options.ema_decay < 1:
        raise ValueError(
            f"`trainer_options.ema_decay` must lie in [0, 1); received {options.ema_decay:g}."
        )
    solver = options.solver_options
    path = "trainer_options.solver_options"
    require_positive([solver.training_number_of_steps], f"{path}.training_number_of_steps")
    for name in ("base_learning_rate", "batchnorm_epsilon", "clip_gradient_norm"):
        value = getattr(solver, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"`{path}.{name}` must be positive; received {value:g}.")
    for name in (
        "warmup_steps",
        "adamw_weight_decay",
        "backbone_learning_rate_multiplier",
        "reference_batch_size",
    ):
        if getattr(solver, name) < 0:
            raise ValueError(
                f"`{path}.{name}` must not be negative; received {getattr(solver, name):g}."
            )
    if not 0 <= solver.batchnorm_momentum < 1:
        raise ValueError(
            f"`{path}.batchnorm_momentum` must lie in [0, 1); received "
            f"{solver.batchnorm_momentum:g}."
        )


def _validate_losses(config: experiment_pb2.ExperimentOptions) -> None:
    losses = config.trainer_options.loss_options
    if losses.WhichOneof("criterion") is None:
        known = ", ".join(f.name for f in losses.DESCRIPTOR.fields)
        raise ValueError(f"`trainer_options.loss_options` must choose a criterion: one of {known}.")
    path = "trainer_options.loss_options.kmax"
    for field, term in losses.kmax.ListFields():
        if term.weight < 0:
            raise ValueError(
                f"`{path}.{field.name}.weight` must not be negative; received {term.weight:g}."
            )
        fraction = getattr(term, "top_k_percent", 1.0)
        if not 0 <= fraction <= 1:
            raise ValueError(
                f"`{path}.{field.name}.top_k_percent` is a fraction in [0, 1]; received "
                f"{fraction:g}."
            )
    has_head = config.model_options.HasField("semantic_head")
    if losses.kmax.HasField("semantic_loss") and losses.kmax.semantic_loss.weight and not has_head:
        raise ValueError(
            f"`{path}.semantic_loss` needs `model_options.semantic_head`, which is absent."
        )


def _validate_evaluator(config: experiment_pb2.ExperimentOptions) -> None:
    options = config.evaluator_options
    require_positive([options.eval_interval], "evaluator_options.eval_interval")
    if options.eval_steps != -1:
        require_positive([options.eval_steps], "evaluator_options.eval_steps")
    require_positive(options.eval_scales, "evaluator_options.eval_scales")
    post_processing = options.post_processing
    path = "evaluator_options.post_processing"
    if post_processing.WhichOneof("method") is None:
        known = [f.name for f in post_processing.DESCRIPTOR.oneofs_by_name["method"].fields]
        raise ValueError(f"`{path}` must choose a method: one of {', '.join(known)}.")
    thresholds = [(post_processing, "pixel_confidence_threshold")]
    mask_wise = post_processing.mask_wise
    thresholds += [
        (mask_wise, "transformer_class_confidence_threshold_thing"),
        (mask_wise, "transformer_class_confidence_threshold_stuff"),
        (mask_wise, "overlapping_threshold"),
        (post_processing.pixel_wise, "transformer_class_confidence_threshold"),
    ]
    for message, name in thresholds:
        value = getattr(message, name)
        if not 0 <= value <= 1:
            raise ValueError(f"`{path}`: {name} must lie in [0, 1]; received {value:g}.")


def _finite(message: Message, path: str) -> None:
    """Raises ValueError for the first number inside `message` that is NaN or infinite."""
    for field, value in message.ListFields():
        values = value if isinstance(value, (list, tuple)) or _is_container(value) else [value]
        for number in values:
            if isinstance(number, Message):
                _finite(number, f"{path}{field.name}.")
            elif isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"`{path}{field.name}` must be finite; received {number:g}.")


def _is_container(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))

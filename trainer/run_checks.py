"""What has to fit together before a run begins: its config, its mode and its devices."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.build.data import require_same_classes
from protos import experiment_pb2, training_pb2
from trainer import distribution, preflight
from trainer.accumulation import require_parts
from trainer.solver import require_available


def require_fit(
    config: experiment_pb2.ExperimentOptions, mode: str, strategy: tf.distribute.Strategy
) -> None:
    """Raises ValueError where precision, batch sizes or data sets do not fit."""
    trainer = config.trainer_options
    if trainer.precision == training_pb2.TrainerOptions.FLOAT16:
        distribution.require_float16(strategy)
    train_data, eval_data = config.train_dataset_options, config.eval_dataset_options
    if mode in preflight.TRAINING_MODES:
        require_available(trainer.solver_options)
        distribution.require_divisible(
            train_data.batch_size,
            strategy.num_replicas_in_sync,
            "train_dataset_options.batch_size",
        )
        require_parts(
            train_data.batch_size, trainer.accumulation_steps, strategy.num_replicas_in_sync
        )
    if mode in preflight.EVALUATING_MODES:
        require_same_classes(config)
        if not eval_data.decode_groundtruth_label:
            raise ValueError(
                "`eval_dataset_options.decode_groundtruth_label` must be true to measure anything; "
                "predictions without labels are made by `kmax predict`."
            )

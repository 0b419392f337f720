"""The checkpoints of a run: what they hold, and what a run without any starts from."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Optional

import tensorflow as tf

from kmax_tf.build.initial_weights import load_initial_weights, load_weights_to_evaluate
from kmax_tf.checkpoints.report import summarize
from trainer import checkpointing, run_folder
from trainer.assembly import Run
from trainer.safe_manager import Undisturbed
from trainer.weight_average import AVERAGE, WeightAverage

SUMMARIES = "summaries"
"""The name of the unfinished means among what is saved; a file without them begins new ones."""

LOOP = "loop"
"""The name of the unfinished loop among what is saved; a file without it begins a new one."""

LOSS_SCALE = "loss_scale"
"""The name of the loss scale among what is saved; a run that turns to float16 begins a new one."""


def make_train_manager(
    run: Run,
    trackables: Dict[str, Any],
    *,
    average: Optional[WeightAverage],
    undisturbed: Undisturbed,
) -> tf.train.CheckpointManager:
    """The checkpoints of a training; without one, the weights to start from are loaded instead.

    Args:
      run: whose checkpoints.
      trackables: what is saved beside step and average, by name.
      average: starts at the weights as they are where a checkpoint does not have it.
      undisturbed: signals wait inside.
    """
    optional: Dict[str, Callable[[], None]] = {LOSS_SCALE: lambda: None}
    if average is not None:
        trackables = {**trackables, AVERAGE: average.model}
        optional[AVERAGE] = average.start

    def initialize() -> None:
        for report in load_initial_weights(run.model, run.config.model_options):
            run.progress.write(summarize(report))
        if average is not None:
            average.start()

    checkpoint = checkpointing.FittingCheckpoint(
        explain=lambda: run_folder.explain_misfit(run.model_dir, run.config),
        optional=optional,
        global_step=run.global_step,
        **trackables,
    )
    return _make_manager(run, checkpoint, initialize, undisturbed)


def make_eval_manager(run: Run) -> tf.train.CheckpointManager:
    """The checkpoints that an evaluation reads; without one, the weights of the config."""

    def initialize() -> None:
        for report in load_weights_to_evaluate(run.model, run.config.model_options):
            run.progress.write(summarize(report))

    checkpoint = checkpointing.EvaluatedCheckpoint(
        model=run.model,
        global_step=run.global_step,
        explain=lambda: run_folder.explain_misfit(run.model_dir, run.config),
        tell=run.progress.write,
    )
    return _make_manager(run, checkpoint, initialize)


def _make_manager(
    run: Run,
    checkpoint: checkpointing.FittingCheckpoint,
    initialize: Callable[[], None],
    undisturbed: Undisturbed = contextlib.nullcontext,
) -> tf.train.CheckpointManager:
    return checkpointing.create_manager(
        run.output_dir,
        checkpoint,
        global_step=run.global_step,
        keep=run.config.trainer_options.num_checkpoints_to_keep,
        interval=run.config.trainer_options.save_checkpoints_steps,
        initialize=initialize,
        undisturbed=undisturbed,
    )

"""Assembles one run: strategy, model, data, checkpoints, loops, and orbit's controller."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any, Dict, List, Optional

import orbit
import tensorflow as tf

from evaluation.evaluator import Evaluator
from kmax_tf.build.config import require_filled
from kmax_tf.build.data import build_dataset
from kmax_tf.build.losses import build_loss
from kmax_tf.build.model import build_model
from kmax_tf.build.post_processing import build_post_processor
from kmax_tf.checkpoints.loading import load_checkpoint
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.records import count_records
from kmax_tf.structures import DatasetInfo
from protos import experiment_pb2
from trainer import checkpointing, distribution, pictures, preflight, run_folder
from trainer.data_errors import explaining_bad_records, name_images
from trainer.eval_loop import EvalLoop, Picture
from trainer.interrupts import Interrupts
from trainer.metrics_file import MetricsFile
from trainer.progress import Progress
from trainer.solver import Optimizer, build_optimizer
from trainer.summaries import EvalSummaries, TrainSummaries
from trainer.train_loop import NonFiniteError, TrainLoop
from trainer.train_step import TrainStep
from trainer.user_errors import INTERRUPTED

_POLL_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What the parts of a run share.

    Attributes:
      config: checked.
      model_dir: run folder.
      strategy: where it computes.
      info: classes.
      model: with its variables.
      global_step: int64 variable, the number of steps made.
      progress: shows how far it is.
      metrics_file: the numbers so far.
    """

    config: experiment_pb2.ExperimentOptions
    model_dir: pathlib.Path
    strategy: tf.distribute.Strategy
    info: DatasetInfo
    model: tf.keras.Model
    global_step: tf.Variable
    progress: Progress
    metrics_file: MetricsFile

    @property
    def step(self) -> int:
        """The number of steps made."""
        return int(self.global_step.numpy())

    @property
    def last_step(self) -> int:
        """The number of steps of the whole training."""
        return self.config.trainer_options.solver_options.training_number_of_steps


def run_experiment(
    config: experiment_pb2.ExperimentOptions,
    *,
    mode: str,
    model_dir: pathlib.Path,
    num_gpus: Optional[int],
    tpu: Optional[str],
) -> int:
    """Trains and evaluates as `mode` says; returns the exit code.

    Args:
      config: checked, its record files exist.
      mode: `train_and_eval`, `train`, `eval` or `continuous_eval`.
      model_dir: run folder, writable.
      num_gpus: None = all visible, 0 = CPU.
      tpu: name of a TPU or None.

    Raises:
      ValueError: config, data, devices or checkpoints do not fit together.
      NonFiniteError: a loss or gradient is not finite.
    """
    with Interrupts() as interrupts, explaining_bad_records():
        run = _prepare(config, mode=mode, model_dir=model_dir, num_gpus=num_gpus, tpu=tpu)
        if mode in preflight.TRAINING_MODES:
            return _train(run, mode, interrupts)
        return _evaluate(run, mode)


def _prepare(
    config: experiment_pb2.ExperimentOptions,
    *,
    mode: str,
    model_dir: pathlib.Path,
    num_gpus: Optional[int],
    tpu: Optional[str],
) -> Run:
    trainer = config.trainer_options
    tf.keras.utils.set_random_seed(trainer.seed % 2**32)
    strategy = distribution.create_strategy(num_gpus=num_gpus, tpu=tpu)
    train_data, eval_data = config.train_dataset_options, config.eval_dataset_options
    if mode in preflight.TRAINING_MODES:
        distribution.require_divisible(
            train_data.batch_size, strategy, "train_dataset_options.batch_size"
        )
    info = load_dataset_info(train_data.dataset_info)
    if mode in preflight.EVALUATING_MODES:
        distribution.require_divisible(
            eval_data.batch_size, strategy, "eval_dataset_options.batch_size"
        )
        _require_same_classes(info, train_data.dataset_info, eval_data.dataset_info)
        if not eval_data.decode_groundtruth_label:
            raise ValueError(
                "`eval_dataset_options.decode_groundtruth_label` must be true to measure PQ; "
                "predictions without labels are made by `kmax predict`."
            )
    progress = Progress(
        total_steps=trainer.solver_options.training_number_of_steps,
        batch_size=train_data.batch_size,
        line_interval=trainer.save_summaries_steps,
    )
    progress.write(f"{config.experiment_name} in {model_dir} on {distribution.describe(strategy)}")
    with strategy.scope():
        model = build_model(config)
        global_step = orbit.utils.create_global_step()
    metrics_file = MetricsFile(model_dir / run_folder.METRICS)
    return Run(config, model_dir, strategy, info, model, global_step, progress, metrics_file)


def _require_same_classes(info: DatasetInfo, train_name: str, eval_name: str) -> None:
    other = load_dataset_info(eval_name or train_name)
    if dataclasses.replace(other, name=info.name, colors=info.colors) != info:
        raise ValueError(
            f"`eval_dataset_options.dataset_info` {eval_name} must have the classes of "
            f"`train_dataset_options.dataset_info` {train_name}."
        )


def _train(run: Run, mode: str, interrupts: Interrupts) -> int:
    with run.strategy.scope():
        optimizer = build_optimizer(run.model, run.config.trainer_options.solver_options)
    evaluates = mode in preflight.EVALUATING_MODES
    manager = _manager(run, {"model": run.model, "optimizer": optimizer.slots})
    train_summaries = TrainSummaries(
        run.model_dir / "train",
        metrics_file=run.metrics_file,
        progress=run.progress,
        global_step=run.global_step,
        interval=run.config.trainer_options.save_summaries_steps,
        last_step=run.last_step,
    )
    eval_summaries = _eval_summaries(run) if evaluates else None
    per_loop = run.config.trainer_options.steps_per_loop
    with _without_messages():  # Restores the newest checkpoint, or calls `initialize`.
        controller = orbit.Controller(
            global_step=run.global_step,
            trainer=_train_loop(run, optimizer, interrupts),
            evaluator=_eval_loop(run, eval_summaries) if eval_summaries else None,
            strategy=run.strategy,
            # After an interrupt the loops are back in step with the intervals at once.
            steps_per_loop=lambda step: per_loop - int(step) % per_loop,
            checkpoint_manager=manager,
            summary_manager=train_summaries,
            # Without a folder of its own the evaluation would be given the training's summaries.
            eval_summary_dir=str(run.model_dir / "eval"),
            eval_summary_manager=eval_summaries,
        )
    train_summaries.start()
    run.metrics_file.cut_after(run.step)
    _announce(run, manager)
    run_folder.describe_run(run.model_dir, run.config, run.info)
    try:
        with _without_messages():
            _train_to_the_end(run, controller, evaluates)
    except KeyboardInterrupt:
        saved = checkpointing.save_now(manager, run.step)
        run.progress.close()
        run.progress.write(
            f"Interrupted at step {run.step}; saved {saved}. The same command continues there."
        )
        return INTERRUPTED
    except NonFiniteError as error:
        names = name_images(error.image_ids, list(run.config.train_dataset_options.file_pattern))
        raise NonFiniteError(f"{error} {names}", error.image_ids) from None
    finally:
        run.progress.close()
    return 0


def _train_to_the_end(run: Run, controller: orbit.Controller, evaluates: bool) -> None:
    options = run.config.evaluator_options
    interval = options.eval_interval if evaluates else run.last_step
    # An evaluation that an interrupt cut off is made up for.
    due = run.step > 0 and (run.step % interval == 0 or run.step >= run.last_step)
    if evaluates and due and not run.metrics_file.has_evaluation(run.step):
        controller.evaluate(options.eval_steps)
    while run.step < run.last_step:
        target = min(run.last_step, (run.step // interval + 1) * interval)
        controller.train(target, checkpoint_at_completion=target == run.last_step)
        if evaluates:
            controller.evaluate(options.eval_steps)


def _evaluate(run: Run, mode: str) -> int:
    eval_summaries = _eval_summaries(run)
    manager = _manager(run, {"model": run.model})
    options = run.config.evaluator_options
    if mode == "eval" and not manager.latest_checkpoint and not _initial_checkpoint(run):
        raise ValueError(
            f"`--model_dir` {run.model_dir} holds no checkpoint, and "
            "`model_options.initial_checkpoint` is empty: there is nothing to evaluate."
        )
    with _without_messages():
        controller = orbit.Controller(
            global_step=run.global_step,
            evaluator=_eval_loop(run, eval_summaries),
            strategy=run.strategy,
            checkpoint_manager=manager,
            eval_summary_manager=eval_summaries,
        )
    _announce(run, manager)
    if not (run.model_dir / run_folder.CONFIG).exists():
        run_folder.describe_run(run.model_dir, run.config, run.info)
    with _without_messages():
        if mode == "eval":
            controller.evaluate(options.eval_steps)
        else:
            _evaluate_continuously(run, controller)
    return 0


def _evaluate_continuously(run: Run, controller: orbit.Controller) -> None:
    """Until the checkpoint of the last step was evaluated, or none came for too long."""
    options = run.config.evaluator_options
    limit = options.continuous_eval_timeout
    seen = {"step": -1, "time": time.monotonic()}

    def is_over() -> bool:
        if run.step != seen["step"]:
            seen.update(step=run.step, time=time.monotonic())
        if run.step >= run.last_step:
            return True
        return 0 <= limit <= time.monotonic() - seen["time"]

    run.progress.write(f"Waiting for checkpoints in {run.model_dir}.")
    poll = _POLL_SECONDS if limit < 0 else min(_POLL_SECONDS, limit)
    controller.evaluate_continuously(options.eval_steps, timeout=poll, timeout_fn=is_over)


def _train_loop(run: Run, optimizer: Optimizer, interrupts: Interrupts) -> TrainLoop:
    options = run.config.train_dataset_options
    trainer = run.config.trainer_options
    solver = trainer.solver_options
    step = TrainStep(
        model=run.model,
        loss=build_loss(run.config),
        optimizer=optimizer,
        global_batch_size=options.batch_size,
        seed=trainer.seed,
        clip_norm=solver.clip_gradient_norm if solver.use_gradient_clipping else None,
    )

    def make_iterator(start_step: int):
        dataset = build_dataset(options, training=True, seed=trainer.seed, start_step=start_step)
        return iter(distribution.distribute(dataset, run.strategy))

    return TrainLoop(
        step,
        strategy=run.strategy,
        make_iterator=make_iterator,
        global_step=run.global_step,
        global_batch_size=options.batch_size,
        interrupts=interrupts,
        learning_rate=optimizer.schedule,
    )


def _eval_loop(run: Run, summaries: EvalSummaries) -> EvalLoop:
    options = run.config.eval_dataset_options
    best = checkpointing.BestCheckpoint(run.model_dir, model=run.model, global_step=run.global_step)

    def finish(result: Dict[str, Any], table: str, drawn: List[Picture]) -> None:
        run.progress.write(f"Step {run.step}:\n{table}")
        summaries.write_table(table)
        for name, picture in pictures.draw_pictures(drawn, run.info):
            summaries.write_picture(name, picture)
            pictures.write_png(run.model_dir / run_folder.PICTURES, name, picture)
        if result.get("pq") is not None:
            best.update(float(result["pq"]))

    return EvalLoop(
        run.model,
        post_processor=build_post_processor(run.config),
        dataset=build_dataset(options, training=False, seed=0, start_step=0),
        batch_size=options.batch_size,
        strategy=run.strategy,
        make_evaluator=lambda: Evaluator(run.info),
        num_images=count_records(list(options.file_pattern)),
        num_pictures=run.config.evaluator_options.num_vis_samples,
        progress=run.progress,
        finish=finish,
    )


def _eval_summaries(run: Run) -> EvalSummaries:
    return EvalSummaries(
        run.model_dir / "eval", metrics_file=run.metrics_file, global_step=run.global_step
    )


def _manager(run: Run, trackables: Dict[str, Any]) -> tf.train.CheckpointManager:
    def initialize() -> None:
        path = _initial_checkpoint(run)
        if path:
            report = load_checkpoint(run.model, path)
            run.progress.write(f"Loaded {len(report.loaded)} variables from {path}.")

    return checkpointing.create_manager(
        run.model_dir,
        trackables,
        global_step=run.global_step,
        keep=run.config.trainer_options.num_checkpoints_to_keep,
        interval=run.config.trainer_options.save_checkpoints_steps,
        explain=lambda: run_folder.explain_misfit(run.model_dir, run.config),
        initialize=initialize,
    )


def _initial_checkpoint(run: Run) -> str:
    path = run.config.model_options.initial_checkpoint
    return require_filled(path, "model_options.initial_checkpoint")


def _announce(run: Run, manager: tf.train.CheckpointManager) -> None:
    if manager.latest_checkpoint:
        changed = run_folder.changed_fields(run.model_dir, run.config)
        note = f" Changed since: {', '.join(changed)}." if changed else ""
        run.progress.write(f"Continuing from {manager.latest_checkpoint}.{note}")


@contextlib.contextmanager
def _without_messages():
    """Orbit's controller prints every step of its own; `Progress` says the same in its way."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield

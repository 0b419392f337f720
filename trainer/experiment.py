"""One run from its start to its end: the four modes, on orbit's controller."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from typing import Iterator, Optional

import orbit
import tensorflow as tf

from kmax_tf.build.data import find_source
from kmax_tf.data.fingerprint import take_fingerprints
from protos import experiment_pb2
from trainer import (
    assembly,
    checkpointing,
    distribution,
    managers,
    preflight,
    run_folder,
    run_record,
)
from trainer.checkpoint_recovery import recover, require_sound
from trainer.cluster import Cluster
from trainer.data_errors import name_images
from trainer.interrupts import Interrupts
from trainer.leftovers import remove_leftovers
from trainer.loss_scale import build_loss_scale
from trainer.lost_worker import naming_lost_workers
from trainer.non_finite import naming_images_of
from trainer.numeric_fault import NumericFaultError
from trainer.output_folder import open_output_folder
from trainer.preserve_fault import preserve_fault
from trainer.rendezvous import wait_for_workers
from trainer.solver import build_optimizer, describe_learning_rate
from trainer.unfinished_loop import UnfinishedLoop
from trainer.user_errors import exit_code_of
from trainer.workers import Workers

_POLL_SECONDS = 1.0
_LISTED_CHANGES = 5


def run_experiment(
    config: experiment_pb2.ExperimentOptions,
    *,
    mode: str,
    model_dir: pathlib.Path,
    num_gpus: Optional[int],
    tpu: Optional[str],
    cluster: Optional[Cluster] = None,
) -> int:
    """Trains and evaluates as `mode` says; returns the exit code.

    Args:
      config: checked, its record files exist.
      mode: `train_and_eval`, `train`, `eval` or `continuous_eval`.
      model_dir: run folder, writable.
      num_gpus: None = all visible, 0 = CPU.
      tpu: name of a TPU or None.
      cluster: the workers of the run; None = this process is alone.

    Raises:
      LostWorkerError: another worker did not come, or has ended.
      ValueError: config, data, devices or checkpoints do not fit together.
      NumericFaultError: a loss or gradient is not finite, or the loss has exploded.
      NonFinitePredictionError: the logits of an evaluation are not finite.
    """
    if cluster is not None:
        if mode == "continuous_eval":
            raise ValueError(
                "`--mode` continuous_eval runs in one process; received several `--workers`."
            )
        distribution.require_devices(num_gpus=num_gpus, tpu=tpu, cluster=cluster)
        wait_for_workers(cluster, config.trainer_options.stall_timeout)
    with contextlib.ExitStack() as stack:
        stack.enter_context(naming_lost_workers(cluster))
        # Before all else that computes, and before the interrupts: TensorFlow takes SIGTERM.
        strategy = distribution.create_strategy(num_gpus=num_gpus, tpu=tpu, cluster=cluster)
        interrupts = stack.enter_context(Interrupts(shared=cluster is not None))
        workers = Workers(strategy, cluster=cluster, interrupts=interrupts)
        run = assembly.prepare_run(
            config,
            mode=mode,
            model_dir=model_dir,
            output_dir=stack.enter_context(open_output_folder(model_dir, workers)),
            workers=workers,
        )
        stack.enter_context(naming_images_of(config.eval_dataset_options))
        if mode in preflight.TRAINING_MODES:
            return _train(run, mode, interrupts)
        return _evaluate(run, mode)


def _train(run: assembly.Run, mode: str, interrupts: Interrupts) -> int:
    evaluates = mode in preflight.EVALUATING_MODES
    controller = _make_training(run, interrupts, evaluates)
    manager = controller.checkpoint_manager
    run.metrics_file.cut_after(run.step)
    _announce("Continuing from", run, manager)
    _tell_settings(run)
    _record_start(run, mode)
    try:
        with _without_messages():
            _train_to_the_end(run, controller, interrupts, evaluates)
        run.workers.meet()  # Whoever left earlier would be missed.
    except KeyboardInterrupt as error:
        saved = checkpointing.save_now(manager, run.step)
        run.progress.close()
        run.progress.write(
            f"Interrupted at step {run.step}; saved {saved}. The same command continues there."
        )
        return exit_code_of(error)
    except NumericFaultError as error:
        names = name_images(error.image_ids, run.config.train_dataset_options)
        message = f"{error} {names}."
        kept = preserve_fault(run, error.report, message=message, checkpoint=manager.checkpoint)
        raise NumericFaultError(f"{message} {kept}", error.report) from None
    finally:
        run.progress.close()
    return 0


def _make_training(run: assembly.Run, interrupts: Interrupts, evaluates: bool) -> orbit.Controller:
    """All parts of a training, at the step of its newest checkpoint."""
    batch_size = run.config.train_dataset_options.batch_size
    with run.strategy.scope():
        optimizer = build_optimizer(
            run.model, run.config.trainer_options.solver_options, batch_size=batch_size
        )
        loss_scale = build_loss_scale(run.config.trainer_options)
        average = assembly.build_weight_average(run.config, run.model)
    train_summaries = assembly.make_train_summaries(run)
    unfinished = UnfinishedLoop()
    trackables = {
        "model": run.model,
        "optimizer": optimizer.slots,
        managers.SUMMARIES: train_summaries.means,
        managers.LOOP: unfinished,
    }
    if loss_scale is not None:
        trackables[managers.LOSS_SCALE] = loss_scale.slots
    _make_sound(run, evaluates)
    saving = assembly.make_saving(run, interrupts)
    manager = managers.make_train_manager(run, trackables, average=average, undisturbed=saving)
    eval_summaries = assembly.make_eval_summaries(run) if evaluates else None
    per_loop = run.config.trainer_options.steps_per_loop
    with _without_messages():  # Restores the newest checkpoint, or calls `initialize`.
        controller = orbit.Controller(
            global_step=run.global_step,
            trainer=assembly.make_train_loop(
                run,
                optimizer,
                interrupts,
                loss_scale=loss_scale,
                average=average,
                unfinished=unfinished,
            ),
            evaluator=assembly.make_eval_loop(
                assembly.run_to_evaluate(run, average),
                eval_summaries,
                keeps_best=True,
                undisturbed=saving,
            )
            if eval_summaries
            else None,
            strategy=run.strategy,
            # After an interrupt the loops are back in step with the intervals at once.
            steps_per_loop=lambda step: per_loop - int(step) % per_loop,
            checkpoint_manager=manager,
            summary_manager=train_summaries,
            # Without a folder of its own the evaluation would be given the training's summaries.
            eval_summary_dir=str(run.output_dir / "eval"),
            eval_summary_manager=eval_summaries,
        )
    return controller


def _make_sound(run: assembly.Run, evaluates: bool) -> None:
    """Sees to what earlier processes may have left in the run folder."""
    best = run.output_dir / checkpointing.BEST_FOLDER
    remove_leftovers(run.output_dir)
    notes = recover(run.output_dir)
    if evaluates:
        remove_leftovers(best)
        notes += recover(best, required=False)
    for note in notes:
        run.progress.write(f"Warning: {note}")


def _train_to_the_end(
    run: assembly.Run, controller: orbit.Controller, interrupts: Interrupts, evaluates: bool
) -> None:
    options = run.config.evaluator_options
    interval = options.eval_interval if evaluates else run.last_step
    # An evaluation that an interrupt cut off is made up for.
    due = run.step > 0 and (run.step % interval == 0 or run.step >= run.last_step)
    if evaluates and due and not _was_evaluated(run):
        controller.evaluate(options.eval_steps)
    while run.step < run.last_step:
        target = min(run.last_step, (run.step // interval + 1) * interval)
        # Between two loops nothing may be half written: the loops raise what has arrived.
        with interrupts.postponed():
            controller.train(target, checkpoint_at_completion=target == run.last_step)
        run.workers.meet()
        if evaluates:
            controller.evaluate(options.eval_steps)


def _was_evaluated(run: assembly.Run) -> bool:
    """Whether the chief has written a result of the weights as they are."""
    return bool(run.workers.from_chief("x" if run.metrics_file.has_evaluation(run.step) else ""))


def _evaluate(run: assembly.Run, mode: str) -> int:
    if mode == "eval":
        require_sound(run.output_dir)
    eval_summaries = assembly.make_eval_summaries(run)
    manager = managers.make_eval_manager(run)
    options = run.config.evaluator_options
    initial = run.config.model_options.initial_checkpoint
    if mode == "eval" and not manager.latest_checkpoint and not initial:
        raise ValueError(
            f"`--model_dir` {run.model_dir} holds no checkpoint, and "
            "`model_options.initial_checkpoint` is empty: there is nothing to evaluate."
        )
    with _without_messages():
        controller = orbit.Controller(
            global_step=run.global_step,
            evaluator=assembly.make_eval_loop(
                run, eval_summaries, keeps_best=mode == "continuous_eval"
            ),
            strategy=run.strategy,
            checkpoint_manager=manager,
            eval_summary_manager=eval_summaries,
        )
    _announce("Evaluating", run, manager)
    if not (run.output_dir / run_folder.CONFIG).exists():
        _record_start(run, mode)
    with _without_messages():
        if mode == "eval":
            controller.evaluate(options.eval_steps)
            run.workers.meet()
        else:
            _evaluate_continuously(run, controller)
    return 0


def _evaluate_continuously(run: assembly.Run, controller: orbit.Controller) -> None:
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


def _announce(doing: str, run: assembly.Run, manager: tf.train.CheckpointManager) -> None:
    if manager.latest_checkpoint:
        changed = run_folder.changed_fields(run.model_dir, run.config)
        note = f" Changed since: {', '.join(changed)}." if changed else ""
        done = " All steps were made." if run.step >= run.last_step else ""
        run.progress.write(f"{doing} {manager.latest_checkpoint}.{note}{done}")


def _tell_settings(run: assembly.Run) -> None:
    """Says what is not to be read in the config as it stands there."""
    trainer = run.config.trainer_options
    rate = describe_learning_rate(
        trainer.solver_options, batch_size=run.config.train_dataset_options.batch_size
    )
    text = f"Learning rate {rate}."
    if trainer.ema_decay:
        text += f" Evaluated is the moving average of the weights (decay {trainer.ema_decay:g})."
    run.progress.write(text)


def _record_start(run: assembly.Run, mode: str) -> None:
    """Writes what the run is; says what keeps it from going on exactly as it began."""
    if not run.workers.is_chief:
        return
    run_folder.describe_run(run.model_dir, run.config, run.info)
    sources = {part: getattr(run.config, part) for part in preflight.parts_of(mode)}
    changes = run_record.record_session(
        run.model_dir,
        step=run.step,
        mode=mode,
        seed=run.config.trainer_options.seed,
        devices=distribution.describe(run.strategy),
        config_text=(run.model_dir / run_folder.CONFIG).read_text(encoding="utf-8"),
        data={part: take_fingerprints(find_source(options)) for part, options in sources.items()},
    )
    if changes and run.step > 0:
        listed = ", ".join(changes[:_LISTED_CHANGES])
        more = f" and {len(changes) - _LISTED_CHANGES} more" if changes[_LISTED_CHANGES:] else ""
        run.progress.write(
            f"Warning: step {run.step} and later are not what the run would have become; changed "
            f"since its last start: {listed}{more} ({run_record.RUN_RECORD} has all)."
        )


@contextlib.contextmanager
def _without_messages() -> Iterator[None]:
    """Orbit's controller prints every step of its own; `Progress` says the same in its way."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield

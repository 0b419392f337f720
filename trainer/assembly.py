"""Makes the parts of a run from its config: devices, model, loops, summaries."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

import orbit
import tensorflow as tf

from evaluation.crowd import crowd_note
from evaluation.evaluator import MAIN_METRIC, Evaluator
from kmax_tf.build.compilation import jit_compile_of
from kmax_tf.build.data import (
    build_dataset,
    dataset_info_of,
    find_source,
    task_of,
)
from kmax_tf.build.inference import build_forward
from kmax_tf.build.losses import build_loss
from kmax_tf.build.model import build_model
from kmax_tf.build.post_processing import build_post_processor
from kmax_tf.structures import DatasetInfo
from protos import experiment_pb2
from trainer import checkpointing, distribution, pictures, preflight, run_folder
from trainer.bad_records import LIST, BadRecords
from trainer.data_errors import EVAL, TRAIN
from trainer.eval_loop import EvalLoop, Picture
from trainer.interrupts import Interrupts
from trainer.loss_scale import LossScale
from trainer.metrics_file import MetricsFile
from trainer.progress import Progress
from trainer.run_checks import require_fit
from trainer.safe_manager import Undisturbed
from trainer.solver import Optimizer
from trainer.storage import storing
from trainer.summaries import EvalSummaries, TrainSummaries
from trainer.train_loop import TrainLoop
from trainer.train_step import TrainStep
from trainer.unfinished_loop import UnfinishedLoop
from trainer.watchdog import Pulse, Watchdog
from trainer.weight_average import WeightAverage
from trainer.workers import Workers


@dataclasses.dataclass(frozen=True)
class Run:
    """What the parts of a run share.

    Attributes:
      config: checked.
      model_dir: run folder, the same for all workers.
      output_dir: what is written goes there: the run folder, or, of a worker that is not the chief,
        a folder that is removed in the end.
      workers: this process among the others.
      strategy: where it computes.
      info: classes.
      model: with its variables.
      global_step: int64 variable, the number of steps made.
      progress: shows how far it is.
      metrics_file: the numbers so far.
      bad_records: what is left out of training (`TRAIN`) and evaluation data (`EVAL`).
      jit_compile: whether XLA compiles step and network, as `tf.function` takes it.
    """

    config: experiment_pb2.ExperimentOptions
    model_dir: pathlib.Path
    output_dir: pathlib.Path
    workers: Workers
    strategy: tf.distribute.Strategy
    info: DatasetInfo
    model: tf.keras.Model
    global_step: tf.Variable
    progress: Progress
    metrics_file: MetricsFile
    bad_records: Dict[str, BadRecords]
    jit_compile: Optional[bool]

    @property
    def step(self) -> int:
        """The number of steps made."""
        return int(self.global_step.numpy())

    @property
    def last_step(self) -> int:
        """The number of steps of the whole training."""
        return self.config.trainer_options.solver_options.training_number_of_steps


def prepare_run(
    config: experiment_pb2.ExperimentOptions,
    *,
    mode: str,
    model_dir: pathlib.Path,
    output_dir: pathlib.Path,
    workers: Workers,
) -> Run:
    """Checks that config and devices fit together, and builds the model.

    Args:
      config: checked.
      mode: decides which data sets are used.
      model_dir: run folder.
      output_dir: see `Run`.
      workers: this process among the others, and where it computes.

    Raises:
      ValueError: devices, batch sizes, precision, compilation or classes do not fit, or there are
        too many bad records.
    """
    trainer, strategy = config.trainer_options, workers.strategy
    tf.keras.utils.set_random_seed(trainer.seed % 2**32)
    distribution.make_reproducible(strategy)
    jit_compile = jit_compile_of(trainer, strategy)
    require_fit(config, mode, strategy)
    progress = Progress(
        total_steps=trainer.solver_options.training_number_of_steps,
        batch_size=config.train_dataset_options.batch_size,
        line_interval=trainer.save_summaries_steps,
        silent=not workers.is_chief,
    )
    progress.write(f"{config.experiment_name} in {model_dir} on {distribution.describe(strategy)}")
    service = config.train_dataset_options.data_service
    if service and mode in preflight.TRAINING_MODES:
        progress.write(
            f"Batches come from the tf.data service at {service}, in an order that depends on its "
            "workers: this run cannot be repeated, nor continued, exactly."
        )
    bad_records = {
        part: BadRecords(
            getattr(config, part),
            part=part,
            path=model_dir / LIST,
            report=progress.write,
            goes_on=distribution.count_processes(strategy) == 1,
        )
        for part in preflight.parts_of(mode)
    }
    with strategy.scope():
        model = build_model(config)
        global_step = orbit.utils.create_global_step()
    return Run(
        config=config,
        model_dir=model_dir,
        output_dir=output_dir,
        workers=workers,
        strategy=strategy,
        info=dataset_info_of(config.train_dataset_options),
        model=model,
        global_step=global_step,
        progress=progress,
        metrics_file=MetricsFile(output_dir / run_folder.METRICS),
        bad_records=bad_records,
        jit_compile=jit_compile,
    )


def build_train_step(
    config: experiment_pb2.ExperimentOptions,
    *,
    model: tf.keras.Model,
    optimizer: Optimizer,
    global_batch_size: int,
    loss_scale: Optional[LossScale],
    average: Optional[WeightAverage] = None,
) -> TrainStep:
    """The training step of a config; arguments as for `TrainStep`."""
    trainer = config.trainer_options
    solver = trainer.solver_options
    return TrainStep(
        model=model,
        loss=build_loss(config),
        optimizer=optimizer,
        global_batch_size=global_batch_size,
        seed=trainer.seed,
        clip_norm=solver.clip_gradient_norm if solver.use_gradient_clipping else None,
        max_total_loss=trainer.max_total_loss,
        accumulation_steps=trainer.accumulation_steps,
        loss_scale=loss_scale,
        average=average,
    )


def make_training_dataset(
    run: Run, start_step: int, share: Tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """The global batches of training from a step on, or a share of each (`build_dataset`)."""
    trainer = run.config.trainer_options
    options = run.config.train_dataset_options
    return build_dataset(
        options,
        training=True,
        seed=trainer.seed,
        start_step=start_step,
        excluded=run.bad_records[TRAIN].excluded,
        share=share,
    )


def build_weight_average(
    config: experiment_pb2.ExperimentOptions, model: tf.keras.Model
) -> Optional[WeightAverage]:
    """The average of the weights of `model`; None where the config wants none.

    Call it in the strategy's scope.
    """
    decay = config.trainer_options.ema_decay
    if not decay:
        return None
    return WeightAverage(model, averaged=build_model(config), decay=decay)


def run_to_evaluate(run: Run, average: Optional[WeightAverage]) -> Run:
    """`run`, with the averaged weights in place of the last ones where there are any."""
    return run if average is None else dataclasses.replace(run, model=average.model)


def make_train_loop(
    run: Run,
    optimizer: Optimizer,
    interrupts: Interrupts,
    *,
    loss_scale: Optional[LossScale] = None,
    average: Optional[WeightAverage] = None,
    unfinished: Optional[UnfinishedLoop] = None,
) -> TrainLoop:
    """The inner loop of training; its input starts at the step that the run is at by then."""
    batch_size = run.config.train_dataset_options.batch_size
    step = build_train_step(
        run.config,
        model=run.model,
        optimizer=optimizer,
        global_batch_size=batch_size,
        loss_scale=loss_scale,
        average=average,
    )

    def make_iterator(start_step: int) -> Iterator:
        def make_dataset(share: Tuple[int, int]) -> tf.data.Dataset:
            return make_training_dataset(run, start_step, share)

        return iter(distribution.distribute(make_dataset, run.strategy))

    return TrainLoop(
        step,
        strategy=run.strategy,
        make_iterator=make_iterator,
        global_step=run.global_step,
        global_batch_size=batch_size,
        interrupts=interrupts,
        watchdog=make_watchdog(run),
        workers=run.workers,
        unfinished=unfinished,
        learning_rate=optimizer.schedule,
        leave_out=lambda step: run.bad_records[TRAIN].search(
            seed=run.config.trainer_options.seed, step=step
        ),
        jit_compile=run.jit_compile,
    )


def make_eval_loop(
    run: Run,
    summaries: EvalSummaries,
    *,
    keeps_best: bool,
    undisturbed: Undisturbed = contextlib.nullcontext,
) -> EvalLoop:
    """The evaluation; it also prints the table and draws pictures.

    Args:
      run: what is evaluated.
      summaries: get the results.
      keeps_best: whether the weights with the best result are kept (PQ, mIoU or mask AP, as the
        task says); those before the first step and results of a part of the images are never
        compared.
      undisturbed: signals wait inside.
    """
    options = run.config.eval_dataset_options
    may_be_best = keeps_best and run.config.evaluator_options.eval_steps < 0
    note = crowd_note(list(options.file_pattern))
    workers = run.workers
    # As many on each worker; a batch of the whole need not be what the config says.
    batch_size = -(-options.batch_size // workers.count) * workers.count
    task = task_of(options)
    metric = MAIN_METRIC[task]
    best = checkpointing.BestCheckpoint(
        run.output_dir,
        model=run.model,
        global_step=run.global_step,
        metric=metric,
        undisturbed=undisturbed,
    )

    def finish(result: Dict[str, Any], table: str, drawn: List[Picture]) -> None:
        run.progress.write(f"Step {run.step}:\n{table}")
        summaries.write_table(table)
        folder = run.output_dir / run_folder.PICTURES
        comparisons = dict(pictures.draw_pictures(drawn, run.info))
        for name, picture in comparisons.items():
            summaries.write_picture(name, picture)
        with storing(folder):
            for name, picture in comparisons.items():
                pictures.write_png(folder, name, picture)
            if comparisons:
                sheet = pictures.draw_sheet(list(comparisons.values()))
                pictures.write_png(folder, "sheet", sheet)
        if may_be_best and run.step > 0 and result.get(metric) is not None:
            best.update(float(result[metric]))

    bad_records = run.bad_records[EVAL]
    post_process = build_post_processor(run.config)
    forward = build_forward(run.config, run.model)
    return EvalLoop(
        lambda images: post_process(forward(images)),
        make_dataset=lambda excluded: build_dataset(
            options,
            training=False,
            batch_size=batch_size,
            excluded=excluded,
            share=(workers.index, workers.count),
        ),
        bad_records=bad_records,
        batch_size=batch_size // workers.count,
        workers=workers,
        make_evaluator=lambda: Evaluator(
            run.info, task=task, note=note, images_left_out=len(bad_records.excluded)
        ),
        num_images=find_source(options).total,
        num_pictures=run.config.evaluator_options.num_vis_samples,
        progress=run.progress,
        watchdog=make_watchdog(run),
        finish=finish,
        jit_compile=run.jit_compile,
    )


def make_watchdog(run: Run) -> Watchdog:
    """Ends the run where nothing moves for the time that its config sets."""
    return Watchdog(
        run.config.trainer_options.stall_timeout,
        processes=distribution.count_processes(run.strategy),
    )


def make_saving(run: Run, interrupts: Interrupts) -> Undisturbed:
    """Makes the context in which checkpoints are written: signals wait, and it may not hang."""
    watchdog = make_watchdog(run)

    @contextlib.contextmanager
    def saving() -> Iterator[None]:
        pulse = Pulse(0, "the files of a checkpoint")
        with interrupts.postponed(), watchdog.watching(lambda: pulse, "the run"):
            yield

    return saving


def make_train_summaries(run: Run) -> TrainSummaries:
    """Where the numbers of training go."""
    return TrainSummaries(
        run.output_dir / "train",
        metrics_file=run.metrics_file,
        progress=run.progress,
        global_step=run.global_step,
        interval=run.config.trainer_options.save_summaries_steps,
        last_step=run.last_step,
    )


def make_eval_summaries(run: Run) -> EvalSummaries:
    """Where the numbers of evaluations go."""
    return EvalSummaries(
        run.output_dir / "eval", metrics_file=run.metrics_file, global_step=run.global_step
    )

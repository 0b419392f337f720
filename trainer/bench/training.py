"""The training step: how long it takes, when the first one is done, how much memory it needs."""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from trainer.assembly import build_train_step, build_weight_average
from trainer.bench.peak_memory import PeakMemory
from trainer.bench.session import Session
from trainer.bench.synthetic_records import make_batch
from trainer.bench.timing import Timing, fetch, measure, seconds_since_process_start
from trainer.loss_scale import build_loss_scale
from trainer.quick_start import QuickStart
from trainer.solver import build_optimizer


class TrainingFigures(NamedTuple):
    """Measured of training.

    Attributes:
      step: of one step: forward pass, losses, backward pass, update.
      first_step_s: from the start of the process to the end of the first step.
      peak_memory_gb: from before the first step to the end of the last one.
      num_segments: in every image.
      run: makes one more step.
      graph: of the step.
    """

    step: Timing
    first_step_s: float
    peak_memory_gb: float
    num_segments: int
    run: Callable[[], tf.Tensor]
    graph: tf.Graph


class StepRunner:
    """The trainer's step on one batch, over and over.

    Args:
      session: config, device and model.

    Attributes:
      num_segments: in every image of the batch.
    """

    def __init__(self, session: Session) -> None:
        config, batch_size = session.config, session.setting.batch_size
        self._max_total_loss = config.trainer_options.max_total_loss
        batch = make_batch(config.train_dataset_options, batch_size=batch_size)
        self.num_segments = batch.num_segments
        self._inputs = session.on_device((batch.features, batch.targets))
        self._strategy = session.strategy
        model = session.model
        with session.strategy.scope():
            optimizer = build_optimizer(
                model, config.trainer_options.solver_options, batch_size=batch_size
            )
            loss_scale = build_loss_scale(config.trainer_options)
            average = build_weight_average(config, model)
            self._global_step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._step = build_train_step(
            config,
            model=model,
            optimizer=optimizer,
            global_batch_size=batch_size,
            loss_scale=loss_scale,
            average=average,
        )
        function = tf.function(self._run_step, autograph=False, jit_compile=session.jit_compile)
        self._function = QuickStart(function, session.strategy)

    def __call__(self) -> tf.Tensor:
        """Makes a step; returns whether it updated the model, bool scalar."""
        return self._function(*self._inputs)

    def require_finite(self) -> None:
        """Makes a step; raises FloatingPointError unless it updated the model."""
        if not self().numpy():
            limit = (
                ", or its loss was above `trainer_options.max_total_loss` "
                f"({self._max_total_loss:g})"
                if self._max_total_loss
                else ""
            )
            raise FloatingPointError(
                f"A loss or gradient of the training step was not finite{limit}, so that nothing "
                "was updated: its time is not that of a training step."
            )

    @property
    def graph(self) -> tf.Graph:
        """The traced step."""
        return self._function.trace(*self._inputs).graph

    def _run_step(self, features: dict, targets: dict) -> tf.Tensor:
        step = self._global_step.read_value()
        result = self._strategy.run(self._step, args=(features, targets, step))
        updated = self._strategy.experimental_local_results(result.updated)[0]
        self._global_step.assign_add(1)
        return updated


def measure_training(session: Session) -> TrainingFigures:
    """Measures the trainer's step with synthetic targets; call it before anything else.

    The first step includes what a run has to do before it: starting Python and TensorFlow, building
    the model, reading a batch through the input pipeline, tracing.

    Raises:
      FloatingPointError: the loss is not finite, or above its limit.
    """
    _ = session.model  # Before the memory is looked at.
    runner = StepRunner(session)
    memory = PeakMemory(on_gpu=session.on_gpu)
    fetch(runner())
    first_step = seconds_since_process_start()
    setting = session.setting
    step = measure(runner, repeats=setting.repeats, steps=setting.steps, warm_up=1)
    peak = memory.read()
    runner.require_finite()
    return TrainingFigures(step, first_step, peak, runner.num_segments, runner, runner.graph)

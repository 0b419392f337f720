"""The inner loop of training: many steps in one compiled function."""

from __future__ import annotations

import time
from typing import Callable, Dict, Iterable, NamedTuple, Optional, Tuple

import numpy as np
import orbit
import tensorflow as tf

from kmax_tf.data.schema import PARSE_ERRORS
from trainer.interrupts import Interrupts
from trainer.numeric_fault import GRADIENT_NORM, NumericFaultError, StepReport
from trainer.quick_start import QuickStart
from trainer.train_step import SKIPPED_UPDATES, StepResult, TrainStep
from trainer.unfinished_loop import UnfinishedLoop
from trainer.watchdog import PulseInGraph, Watchdog
from trainer.workers import Workers

IMAGES_PER_SECOND = "images_per_second"
LOOP_STEPS = "loop_steps"


class _LastStep(NamedTuple):
    """What a loop keeps of its last step.

    Attributes:
      sound: bool scalar; false = it was not applied.
      image_ids: int64 [B].
      image_losses: float32 [B].
      gradient_norms: float32 [V].
      stopped: bool scalar; whether an interrupt, of any worker, ends the loop with it.
    """

    sound: tf.Tensor
    image_ids: tf.Tensor
    image_losses: tf.Tensor
    gradient_norms: tf.Tensor
    stopped: tf.Tensor


class TrainLoop(orbit.AbstractTrainer):
    """Runs training steps without a look from the host, until an interrupt or a fault.

    Args:
      step: what one step does.
      strategy: where it does it.
      make_iterator: first step -> iterator of (features, targets), as distributed by `strategy`.
      global_step: int64 variable, the number of steps made; counted here.
      global_batch_size: images per step.
      interrupts: its `stop` ends the loop after the current step.
      watchdog: looks after it.
      workers: stop after the same step; None = this process is alone.
      unfinished: what an interrupt leaves of a loop, to be saved, and to go on with; None = a loop
        that is cut off is forgotten.
      learning_rate: step -> rate, for the record.
      leave_out: step -> whether bad records were found that the next iterator leaves out; called
        where the input fails.
      jit_compile: as `tf.function` takes it: True = XLA compiles the step, while this loop and the
        input stay outside; one replica only.
    """

    def __init__(
        self,
        step: TrainStep,
        *,
        strategy: tf.distribute.Strategy,
        make_iterator: Callable[[int], Iterable],
        global_step: tf.Variable,
        global_batch_size: int,
        interrupts: Interrupts,
        watchdog: Watchdog,
        workers: Optional[Workers] = None,
        unfinished: Optional[UnfinishedLoop] = None,
        learning_rate: Callable[[tf.Tensor], tf.Tensor],
        leave_out: Callable[[int], bool],
        jit_compile: Optional[bool] = None,
    ) -> None:
        super().__init__(name="train_loop")
        self._step = step
        self._make_step = (
            tf.function(step, autograph=False, jit_compile=True) if jit_compile else step
        )
        self._strategy = strategy
        self._make_iterator = make_iterator
        self._iterator: Optional[Iterable] = None
        self._global_step = global_step
        self._global_batch_size = global_batch_size
        self._interrupts = interrupts
        self._watchdog = watchdog
        self._pulse = PulseInGraph()
        self._workers = workers or Workers(strategy, interrupts=interrupts)
        self._unfinished = unfinished or UnfinishedLoop()
        self._stopped = False
        self._learning_rate = learning_rate
        self._leave_out = leave_out
        # A variable: what was summed is still there when the input fails.
        with tf.device("CPU:0"):
            self._sums = tf.Variable(tf.zeros([0]), shape=[None], trainable=False, name="sums")
        # Without AutoGraph, which would rewrite model and losses line by line: tracing is quicker.
        self._loop = QuickStart(tf.function(self._run_steps, autograph=False), strategy)

    def train(self, num_steps: tf.Tensor) -> Dict[str, float]:
        """Makes `num_steps` steps (int32 scalar); called by orbit's controller.

        An interrupt is raised before the first step, or when it has cut off the loop; what arrives
        later waits where the caller postpones it, until the values are written.

        Returns:
          The mean of every loss term, of the diagnostics and of the gradient norm over the steps of
          the loop (the norm over those that updated, and absent where none did); their number,
          which counts those that were made before an interrupt; the learning rate of the last one;
          and images per second.

        Raises:
          NumericFaultError: a loss or gradient was not finite, or the loss too large; the step was
            not applied.
          KeyboardInterrupt: an interrupt arrived; the steps that were finished are applied.
        """
        starts = self._iterator is None
        step = self._count_steps()
        with self._interrupts.allowed():
            if self._stopped:
                self._workers.meet()
            if self._iterator is None:
                self._iterator = self._make_iterator(step)
                # Traced by itself, so that an interrupt acts at once and the clock starts after it.
                self._loop.trace(self._iterator, num_steps)
        with self._interrupts.postponed():
            first, sums = self._unfinished.begin(step, self._step.names)
            self._sums.assign(sums)
            start = time.monotonic()
            end = step + int(num_steps)
            while not self._make_steps(end - self._count_steps(), compiles=starts):
                self._iterator = self._make_iterator(self._count_steps())
            seconds = time.monotonic() - start
            made = self._count_steps()
            if made < end:
                self._unfinished.keep(first, self._step.names, self._sums.numpy())
                with self._interrupts.allowed():
                    self._workers.meet()
            self._unfinished.clear()
        return self._average(
            made - first, images_per_second=(made - step) * self._global_batch_size / seconds
        )

    def _average(self, done: int, *, images_per_second: float) -> Dict[str, float]:
        """Means over the steps of the loop that has ended."""
        result = {
            name: float(value) / done for name, value in zip(self._step.names, self._sums.numpy())
        }
        applied = 1.0 - result.get(SKIPPED_UPDATES, 0.0)
        norm = result.pop(GRADIENT_NORM)
        if applied:
            result[GRADIENT_NORM] = norm / applied
        result["learning_rate"] = float(self._learning_rate(self._global_step - 1))
        result[LOOP_STEPS] = done
        result[IMAGES_PER_SECOND] = images_per_second
        return result

    def _make_steps(self, num_steps: int, *, compiles: bool) -> bool:
        """Runs the loop; false where bad records have stopped it, which may now be left out."""
        try:
            with self._watchdog.watching(self._pulse.read, "training", compiles=compiles):
                last = self._loop(self._iterator, tf.constant(num_steps))
                if not last.sound:
                    self._report_fault(last)
            self._stopped = bool(last.stopped)
        except PARSE_ERRORS:
            if not self._leave_out(self._count_steps()):
                raise
            return False
        return True

    def _count_steps(self) -> int:
        return int(self._global_step.numpy())

    def _run_steps(self, iterator: Iterable, num_steps: tf.Tensor) -> _LastStep:
        """The loop, in a graph; sums up the values of the steps, or keeps those of a faulty one."""

        def running(count: tf.Tensor, last: _LastStep) -> tf.Tensor:
            return tf.reduce_all([last.sound, count < num_steps, tf.logical_not(last.stopped)])

        def body(count: tf.Tensor, last: _LastStep) -> Tuple[tf.Tensor, _LastStep]:
            values, last = self._run_step(iterator)
            # At first there are no sums: how many values there are is known only by now.
            sums = self._sums.read_value()
            so_far = tf.concat([sums, tf.zeros_like(values)], 0)[: tf.size(values)]
            self._sums.assign(tf.where(last.sound, so_far + values, values))
            return count + 1, last

        scalar, vector = tf.TensorShape([]), tf.TensorShape([None])
        none = _LastStep(
            sound=tf.constant(True),
            image_ids=tf.zeros([0], tf.int64),
            image_losses=tf.zeros([0]),
            gradient_norms=tf.zeros([0]),
            stopped=tf.constant(False),
        )
        _, last = tf.while_loop(
            running,
            body,
            (tf.constant(0), none),
            shape_invariants=(scalar, _LastStep(scalar, vector, vector, vector, scalar)),
        )
        return last

    def _run_step(self, iterator: Iterable) -> Tuple[tf.Tensor, _LastStep]:
        self._pulse.wait_for_input()
        features, targets = next(iterator)
        local_batch = self._strategy.experimental_local_results((features, targets))
        self._pulse.wait_for_step(tf.nest.flatten(local_batch))
        result = self._strategy.run(
            self._make_step, args=(features, targets, self._global_step.read_value())
        )
        local = StepResult(*map(self._strategy.experimental_local_results, result))
        sound = local.sound[0]
        self._global_step.assign_add(tf.cast(sound, tf.int64))
        with tf.control_dependencies([sound]):
            stopped = self._workers.any_interrupted()
        return local.values[0], _LastStep(
            sound=sound,
            image_ids=tf.concat(local.image_ids, 0),
            image_losses=tf.concat(local.image_losses, 0),
            gradient_norms=local.gradient_norms[0],
            stopped=stopped,
        )

    def _report_fault(self, last: _LastStep) -> None:
        step = self._step
        local = {"ids": last.image_ids.numpy(), "losses": last.image_losses.numpy()}
        everywhere = self._workers.exchange(local)
        image_ids, image_losses = (
            np.concatenate([one[name] for one in everywhere]).tolist() for name in local
        )
        report = StepReport(
            step=int(self._global_step.numpy()),
            values={n: float(v) for n, v in zip(step.names, self._sums.numpy())},
            image_ids=tuple(image_ids),
            image_losses=tuple(image_losses),
            gradient_norms=dict(zip(step.gradient_names, last.gradient_norms.numpy().tolist())),
            max_total_loss=step.max_total_loss,
        )
        raise NumericFaultError(f"{report.describe()} {step.explain_fault()}".rstrip(), report)

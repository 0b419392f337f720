"""How much longer a training step takes for its guards: `python -m tests.faults.measure_guards`.

Two loops take turns on one model and one batch: that of the trainer, with watchdog and interrupts,
and one that only computes gradients and applies them. What counts is the median over the rounds of
time with guards over time without.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

import kmax_tf  # noqa: F401  first: it chooses Keras

# isort: split
import tensorflow as tf

from kmax_tf.build.config import load_config
from trainer.assembly import build_train_step
from trainer.bench.session import Session
from trainer.bench.setting import Setting
from trainer.bench.synthetic_records import make_batch
from trainer.interrupts import Interrupts
from trainer.optimizers import clipping_factor
from trainer.quick_start import QuickStart
from trainer.solver import build_optimizer
from trainer.train_loop import TrainLoop
from trainer.train_step import TrainStep
from trainer.watchdog import Watchdog

DEMO = "configs/shapes/kmax_demo.textproto"


class Cost(NamedTuple):
    """Seconds of a step.

    Attributes:
      passed: on the clock.
      worked: of all processors together, which other work of the machine hardly changes.
    """

    passed: float
    worked: float


class BareLoop:
    """Steps without a look at anything, as plain as they can be written.

    Args:
      step: the trainer's, of which forward pass, losses, backward pass and update are used.
      strategy: where it computes.
      batches: endless.
    """

    def __init__(
        self, step: TrainStep, strategy: tf.distribute.Strategy, batches: Iterator
    ) -> None:
        self._step = step
        self._batches = batches
        self._global_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._loop = QuickStart(tf.function(self._run, autograph=False), strategy)

    def __call__(self, num_steps: int) -> None:
        """Makes the steps and waits for the last one."""
        self._loop(self._batches, tf.constant(num_steps)).numpy()

    def _run(self, batches: Iterator, num_steps: tf.Tensor) -> tf.Tensor:
        def body(count: tf.Tensor, loss: tf.Tensor) -> tuple:
            features, targets = next(batches)
            return count + 1, loss + self._make_step(features, targets)

        return tf.while_loop(
            lambda count, _: count < num_steps, body, (tf.constant(0), tf.constant(0.0))
        )[1]

    def _make_step(self, features: dict, targets: dict) -> tf.Tensor:
        step, position = self._step, self._global_step.read_value()
        seed = tf.stack([tf.constant(step._seed, tf.int32), tf.cast(position, tf.int32)])
        batch = step._compute_gradients(features, targets, seed, None)
        gradients, factor = batch.gradients, 1.0
        if step._clip_norm is not None:
            norm = tf.linalg.global_norm(gradients)
            factor = clipping_factor(norm=norm, limit=step._clip_norm)
        step._optimizer.apply(gradients, position, factor=factor)
        self._global_step.assign_add(1)
        return tf.reduce_sum(batch.sums)


def measure(
    config_file: str, overrides: List[str], *, rounds: int, steps: int
) -> List[Tuple[Cost, Cost]]:
    """The cost of a step without and with guards, of every round."""
    config = load_config(config_file, overrides)
    options = config.train_dataset_options
    height, width = options.crop_size
    session = Session(config, Setting((height, width), options.batch_size))
    batch = make_batch(options, batch_size=options.batch_size)
    batches = tf.data.Dataset.from_tensors((batch.features, batch.targets)).repeat()
    optimizer = build_optimizer(
        session.model, config.trainer_options.solver_options, batch_size=options.batch_size
    )
    step = build_train_step(
        config,
        model=session.model,
        optimizer=optimizer,
        global_batch_size=options.batch_size,
        loss_scale=None,
    )
    pairs: List[Tuple[Cost, Cost]] = []
    with Interrupts() as interrupts:
        guarded = TrainLoop(
            step,
            strategy=session.strategy,
            make_iterator=lambda first: iter(batches),
            global_step=tf.Variable(0, dtype=tf.int64, trainable=False),
            global_batch_size=options.batch_size,
            interrupts=interrupts,
            watchdog=Watchdog(config.trainer_options.stall_timeout),
            learning_rate=optimizer.schedule,
            leave_out=lambda first: False,
        )
        bare = BareLoop(step, session.strategy, iter(batches))
        for run in (bare, lambda count: guarded.train(tf.constant(count))):
            run(3)
        for _ in range(rounds):
            without = _cost_of_step(bare, steps)
            with_guards = _cost_of_step(lambda n: guarded.train(tf.constant(n)), steps)
            pairs.append((without, with_guards))
    return pairs


def _cost_of_step(run: Callable[[int], object], steps: int) -> Cost:
    begin, begin_of_work = time.perf_counter(), time.process_time()
    run(steps)
    return Cost(
        (time.perf_counter() - begin) / steps, (time.process_time() - begin_of_work) / steps
    )


def main(arguments: Optional[List[str]] = None) -> None:
    """Prints the overhead in percent, medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config_file", default=DEMO)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=5, help="in a round, of each loop")
    given = parser.parse_args(arguments)
    pairs = measure(given.config_file, given.set, rounds=given.rounds, steps=given.steps)
    for name in Cost._fields:
        values = [(getattr(bare, name), getattr(guarded, name)) for bare, guarded in pairs]
        bare, guarded = (statistics.median(column) for column in zip(*values))
        overhead = statistics.median(b / a for a, b in values) - 1
        print(
            f"time {name}: {bare * 1e3:.2f} ms without, {guarded * 1e3:.2f} ms with guards, "
            f"{100 * overhead:+.2f} %"
        )


if __name__ == "__main__":
    main()

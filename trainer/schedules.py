"""Learning rates as functions of the step: polynomial, cosine and step decay, linear warm-up.

A schedule is a function of the number of updates already made (int64 scalar, or an array of them)
that returns the float32 rate of the next update; it works eagerly and inside `tf.function`.
"""

from __future__ import annotations

import math
from typing import Callable, Sequence

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def polynomial_decay(
    base_rate: float, *, num_steps: int, power: float, end_rate: float
) -> Schedule:
    """`(base - end) * (1 - step / num_steps) ** power + end`, constant after `num_steps`."""
    _require_positive("num_steps", num_steps)

    def schedule(step: tf.Tensor) -> tf.Tensor:
        remaining = 1.0 - _fraction(step, num_steps)
        return (base_rate - end_rate) * tf.pow(remaining, power) + end_rate

    return schedule


def cosine_decay(base_rate: float, *, num_steps: int) -> Schedule:
    """`base / 2 * (1 + cos(pi * step / num_steps))`, constant after `num_steps`."""
    _require_positive("num_steps", num_steps)

    def schedule(step: tf.Tensor) -> tf.Tensor:
        return base_rate * 0.5 * (1.0 + tf.cos(math.pi * _fraction(step, num_steps)))

    return schedule


def step_decay(base_rate: float, *, boundaries: Sequence[int], factor: float) -> Schedule:
    """`base * factor ** k`, where k is the number of boundaries at or before the step."""
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"`boundaries` must increase; received {list(boundaries)}.")

    def schedule(step: tf.Tensor) -> tf.Tensor:
        step = tf.convert_to_tensor(step, tf.int64)
        passed = tf.add_n([tf.cast(step >= b, tf.float32) for b in boundaries] or [tf.zeros([])])
        return base_rate * tf.pow(tf.constant(factor, tf.float32), passed)

    return schedule


def with_warmup(schedule: Schedule, *, base_rate: float, num_steps: int) -> Schedule:
    """Grows linearly from 0 for `num_steps` steps.

    The decay goes on below the warm-up (it is evaluated at the step itself, not at the step minus
    the warm-up), as in the reference implementation: the rate drops a little where it ends.
    """
    if num_steps == 0:
        return schedule
    _require_positive("num_steps", num_steps)

    def warmed_up(step: tf.Tensor) -> tf.Tensor:
        step = tf.convert_to_tensor(step, tf.int64)
        ramp = base_rate * (tf.cast(step, tf.float32) / tf.cast(num_steps, tf.float32))
        return tf.where(step < num_steps, ramp, schedule(step))

    return warmed_up


def _fraction(step: tf.Tensor, num_steps: int) -> tf.Tensor:
    """Share of `num_steps` that is done, float32 in [0, 1]."""
    step = tf.cast(tf.convert_to_tensor(step, tf.int64), tf.float32)
    return tf.minimum(step, float(num_steps)) / float(num_steps)


def _require_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"`{name}` must be positive; received {value}.")

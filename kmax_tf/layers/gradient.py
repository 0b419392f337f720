"""Gradients that are written out by hand.

What `tf.custom_gradient` does, without what it adds to a graph: inside a `tf.function` it copies
all inputs, reads all variables once more, and makes zeros for the gradients of these copies: six to
ten nodes for a norm, a tenth of all in a training step.

Made for gradients that are quicker, or keep less, than the automatic ones but say the same: where
the gradient of a traced function is taken from outside, it is that of the operations inside.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Sequence, Union

import tensorflow as tf
from tensorflow.python.eager import record  # `tf.GradientTape` lets no one else speak to it.

Gradient = Callable[..., Any]
"""The upstream gradient of each result -> the gradient of each input, or `None` for none."""

unrecorded = record.stop_recording
"""Context in which gradient tapes do not see what is computed. Read variables before: what is first
captured inside stays unknown to the tapes of a `tf.function`."""

variables_read = record.VariableWatcher
"""Context whose `watched_variables()` are the trainable variables that were read in it."""


def set_gradient(
    results: Sequence[tf.Tensor],
    inputs: Sequence[Union[tf.Tensor, tf.Variable]],
    gradient: Gradient,
) -> None:
    """Tells gradient tapes how `results` depend on `inputs`, whatever they have seen of it."""
    sources = [each.handle if isinstance(each, tf.Variable) else each for each in inputs]
    record.record_operation("KMaxGradient", list(results), sources, gradient)


def with_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a function of tensors that returns its result and how it is differentiated.

    Args:
      function: of tensors; returns a new tensor, or a sequence of such, and their gradient (one
        input's needs no list around it). Variables must be among its inputs.

    Returns:
      A function of the same arguments that returns the result alone.
    """

    @tf.autograph.experimental.do_not_convert
    @functools.wraps(function)
    def call(*inputs: Any) -> Any:
        tensors = [tf.convert_to_tensor(each) for each in inputs]
        with unrecorded():
            result, gradient = function(*tensors)

        def gradients(*upstream: tf.Tensor) -> Sequence[Any]:
            computed = gradient(*upstream)
            return computed if isinstance(computed, (list, tuple)) else [computed]

        set_gradient(tf.nest.flatten(result), tensors, gradients)
        return result

    return call

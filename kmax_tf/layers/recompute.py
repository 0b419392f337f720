"""Layers that run again in the backward pass, so that only their inputs are kept until then.

Gradient checkpointing (Training Deep Nets with Sublinear Memory Cost,
https://arxiv.org/abs/1604.06174), selective where that pays (Reducing Activation Recomputation in
Large Transformer Models, https://arxiv.org/abs/2205.05198, section 5): `keep_product` keeps what
takes long to make and little memory. What must not be done twice in a step asks here, too: `keep`
gives the second run the numbers of the first (random draws, sums over replicas, choices), and
`runs_again` tells who changes a variable.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, TypeVar

import tensorflow as tf

from kmax_tf.layers.gradient import set_gradient, variables_read

Kept = TypeVar("Kept")

_COSTLY = 512
"""Multiply-adds for each element of a product, from which on it is kept instead of made again. In
kMaX R50 that halves the time of the second runs, for a seventh of the memory that they save."""


class _Run:
    """One run of a recomputed layer.

    Args:
      kept: what the first run has kept, in its order; `None` = this is the first run.

    Attributes:
      kept: what this run has kept, or has still to be given.
      again: whether it is the second run.
    """

    def __init__(self, kept: Optional[Sequence[Any]] = None) -> None:
        self.kept: List[Any] = list(kept or ())
        self.again = kept is not None


class _Runs(threading.local):
    """The run that a thread is in; a mirrored strategy traces each replica in its own."""

    def __init__(self) -> None:
        self.current: Optional[_Run] = None


_RUNS = _Runs()


def runs_again() -> bool:
    """Whether a layer runs for the second time in a step: what it changes has changed already."""
    return _RUNS.current is not None and _RUNS.current.again


def keep(make: Callable[[], Kept]) -> Kept:
    """`make()`; in the second run of a layer what it gave in the first, without a gradient."""
    run = _RUNS.current
    if run is None:
        return make()
    if run.again:
        return kept()
    run.kept.append(make())
    return run.kept[-1]


def kept() -> Any:
    """In the second run of a layer: what `keep` was given next in the first."""
    if not runs_again():
        raise RuntimeError("Nothing was kept: the layer does not run for the second time.")
    return _RUNS.current.kept.pop(0)


def keep_product(make: Callable[[], tf.Tensor], *, depth: int) -> tf.Tensor:
    """`make()`; in the second run of a layer the value of the first, if it took long to make.

    Args:
      make: gives a product, or a convolution. The second run calls it for its gradient alone, which
        needs what was multiplied, not the result: of that a `tf.function` computes nothing.
      depth: multiply-adds for each element of the result.
    """
    if depth < _COSTLY:
        return make()
    if not runs_again():
        return keep(make)
    product, value = make(), tf.identity(keep(make))
    set_gradient([value], [product], lambda upstream: [upstream])
    return value


def recompute(layer: tf.keras.layers.Layer, *, compiled: bool) -> None:
    """Lets `layer` keep its inputs alone for the backward pass, where it runs a second time.

    In training only. Results, gradients and names of variables do not change. Layers inside that
    are recomputed too have no effect: the outermost one decides. Outside a `tf.function` the tape
    keeps everything all the same.

    Args:
      layer: called with tensors, or nests of them, and `training` and others as keywords; its
        result is a nest of tensors and `None`.
      compiled: whether XLA may compile the step. It ignores the control dependencies by which
        TensorFlow runs the layer in the backward pass and no sooner, so that inputs are made to
        depend on the gradient, at the cost of a copy of each where XLA does not compile.
    """
    plain = layer.call

    @tf.autograph.experimental.do_not_convert
    @functools.wraps(plain)
    def call(*inputs: Any, training: bool = False, **arguments: Any) -> Any:
        if not training or _RUNS.current is not None:
            return plain(*inputs, training=training, **arguments)
        return _run_and_forget(
            lambda *again: plain(*again, training=True, **arguments),
            # The whole layer, which lets variables be cast as the precision asks.
            lambda *again: layer(*again, training=True, **arguments),
            inputs,
            compiled,
        )

    layer.call = call


def _run_and_forget(
    run: Callable, run_again: Callable, inputs: Tuple[Any, ...], compiled: bool
) -> Any:
    """`run(*inputs)`, whose gradient is that of `run_again(*inputs)`."""
    tensors = tf.nest.flatten(inputs)
    # The layer opens its own scope again.
    around = ["gradient_tape", *tf.get_current_name_scope().split("/")[:-1], ""]
    first = _Run()
    with variables_read() as reader, _inside(first):
        # An input that is also a result becomes a tensor of its own.
        result = tf.nest.map_structure(
            lambda each: tf.identity(each) if any(each is other for other in tensors) else each,
            run(*inputs),
        )
    variables = reader.watched_variables()

    def gradient(*upstream: tf.Tensor) -> List[Optional[tf.Tensor]]:
        with tf.control_dependencies(upstream), tf.name_scope("/".join(around)):
            waiting = [tf.identity(tensor) for tensor in tensors]
            if compiled:
                waiting = [_after(upstream[0], tensor) for tensor in waiting]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(waiting)
                tape.watch(variables)
                with _inside(_Run(first.kept)):
                    again = run_again(*tf.nest.pack_sequence_as(inputs, waiting))
        gradients = tape.gradient(
            _differentiable(again), [*waiting, *variables], output_gradients=upstream
        )
        of_inputs, of_variables = gradients[: len(waiting)], gradients[len(waiting) :]
        # Nothing waits for the gradients of variables: they would come late, and keep what they
        # read until then, while the layer before runs again.
        last = tf.nest.flatten([each for each in of_variables if each is not None], True)
        with tf.control_dependencies(last):
            passed_on = [None if each is None else tf.identity(each) for each in of_inputs]
        return [*passed_on, *of_variables]

    set_gradient(_differentiable(result), [*tensors, *variables], gradient)
    return result


@contextlib.contextmanager
def _inside(run: _Run) -> Iterator[None]:
    _RUNS.current = run
    try:
        yield
    finally:
        _RUNS.current = None


def _after(event: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, computed from `event` in a way that no compiler sees through."""
    element = tf.reshape(event, [-1])[0]
    # Hides no fault: `event` itself, the upstream gradient, reaches the gradients as it is.
    zero = tf.where(tf.math.is_nan(element), tf.zeros_like(element), element * 0)
    return tensor + tf.cast(zero, tensor.dtype)


def _differentiable(nest: Any) -> List[tf.Tensor]:
    return [tensor for tensor in tf.nest.flatten(nest) if _has_gradient(tensor)]


def _has_gradient(tensor: Optional[tf.Tensor]) -> bool:
    return tensor is not None and tensor.dtype.is_floating

"""How functions are traced into graphs."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, Sequence, Tuple

import tensorflow as tf


@contextlib.contextmanager
def functions_inlined() -> Iterator[None]:
    """Inside, calls of a `tf.function` become part of the graph that is being traced, traced anew.

    One that was traced for any batch size before, as post-processing is by a SavedModel, would else
    be taken as it is and hide from the outer graph what is known of its shapes.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def constants_shared() -> Iterator[None]:
    """Inside, equal constants of the graph that is being traced are one operation.

    TensorFlow makes one for every number, axis and shape that is passed to an operation: a quarter
    of a training step's graph, which takes as much of the time to make it ready and of its memory.
    Its own search for equal operations comes too late for that, and takes longer than it saves.

    Constants of graphs within the graph (of loops and conditions) stay as they are; so do those
    with a place of their own (control dependencies, colocation, the replicated part of a TPU).
    """
    graph = tf.compat.v1.get_default_graph()
    if tf.executing_eagerly() or isinstance(getattr(graph, _MAKE), _SharedConstants):
        yield
        return
    setattr(graph, _MAKE, _SharedConstants(graph))
    try:
        yield
    finally:
        delattr(graph, _MAKE)


_MAKE = "_create_op_internal"  # What every operation of a graph is made by, in TensorFlow 2.


class _SharedConstants:
    """Makes operations of a graph, and takes constants from those that it has made."""

    def __init__(self, graph: tf.Graph) -> None:
        self._graph = graph
        self._make = getattr(graph, _MAKE)
        self._made: Dict[Tuple[Any, ...], tf.Operation] = {}

    def __call__(
        self, op_type: str, inputs: Sequence[tf.Tensor], *arguments: Any, **named: Any
    ) -> tf.Operation:
        if op_type != "Const" or self._has_own_place():
            return self._make(op_type, inputs, *arguments, **named)
        devices = self._graph._device_function_stack.peek_objs()
        key = (named["attrs"]["value"].SerializeToString(), *devices)
        if key not in self._made:
            self._made[key] = self._make(op_type, inputs, *arguments, **named)
        return self._made[key]

    def _has_own_place(self) -> bool:
        graph = self._graph
        return bool(
            graph._current_control_dependencies()
            or list(graph._colocation_stack.peek_objs())
            or graph._get_control_flow_context()
        )

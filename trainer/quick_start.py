"""Less waiting for the first training step: what is done to a large graph before it runs."""

from __future__ import annotations

import contextlib
import gc
from typing import Any, Iterator, Optional

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context  # `tf.config.optimizer` knows only some of the options.

from trainer.distribution import is_cpu
from trainer.host_memory import release_unused

# What rewrites a graph; pruning and inlining, which shrink it, stay on.
REWRITING = (
    "arithmetic_optimization",
    "constant_folding",
    "dependency_optimization",
    "implementation_selector",
    "layout_optimizer",
    "loop_optimization",
    "remapping",
    "shape_optimization",
)


class QuickStart:
    """A `tf.function` of a training step, without the work that a training step does not repay.

    On a CPU the graph is pruned and inlined once, but not rewritten further: rewriting takes a
    third of the time until the first step and leaves a fifth of a gigabyte behind, and changes
    nothing about the time of a step (measured with kMaX-DeepLab; what it finds there are patterns
    of inference, and it looks for memory to save where none is short). GPUs gain from it, so there
    it stays. Memory that the making of the model left behind is given back before. And Python's
    garbage collector does not search the hundreds of thousands of objects of a graph while it
    grows.

    Args:
      function: to be called.
      strategy: where it computes.
    """

    def __init__(self, function: tf.types.experimental.GenericFunction, strategy: Any) -> None:
        self._function = function
        self._as_traced = is_cpu(strategy)
        self._options: Optional[context.FunctionCallOptions] = None
        self._started = False

    def trace(self, *arguments: Any) -> tf.types.experimental.ConcreteFunction:
        """Traces the function, which otherwise happens in its first call."""
        with self._without_collecting():
            return self._function.get_concrete_function(*arguments)

    def __call__(self, *arguments: Any) -> Any:
        with self._without_rewriting(), self._without_collecting():
            result = self._function(*arguments)
        self._started = True
        return result

    @contextlib.contextmanager
    def _without_rewriting(self) -> Iterator[None]:
        """At every call: one with other options would make the graph ready once more."""
        if not self._as_traced:
            yield
            return
        before = context.context().function_call_options
        if self._options is None:
            self._options = _as_traced(before)
        context.context().function_call_options = self._options
        try:
            yield
        finally:
            context.context().function_call_options = before

    @contextlib.contextmanager
    def _without_collecting(self) -> Iterator[None]:
        if self._started or not gc.isenabled():
            yield
            return
        if self._as_traced:
            release_unused()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            gc.freeze()  # The graph stays: later collections need not look at it.


def _as_traced(options: context.FunctionCallOptions) -> context.FunctionCallOptions:
    """The same options of a call, but for the rewriting of the graph."""
    config = config_pb2.ConfigProto.FromString(options.config_proto_serialized)
    rewriting = config.graph_options.rewrite_options
    for name in REWRITING:
        setattr(rewriting, name, rewriter_config_pb2.RewriterConfig.OFF)
    rewriting.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    rewriting.disable_tfg_optimizer = True
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return context.FunctionCallOptions(options.executor_type, config)

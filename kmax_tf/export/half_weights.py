"""Weights stored in the type that a model computes in, so that a SavedModel is half as large."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Set

import tensorflow as tf

from kmax_tf.export.outputs import Outputs, ServedNetwork

_READ = "ReadVariableOp"
_CAST = "Cast"


def with_half_weights(
    network: ServedNetwork, spec: tf.TensorSpec, compute_dtype: str
) -> ServedNetwork:
    """The same network, with the weights that it only ever reads as `compute_dtype` stored so.

    Under mixed precision a kernel is a float32 variable that every run casts. The cast is done here
    once, which changes no result: what the network reads in float32 (constants of norms, biases)
    stays float32.

    Args:
      network: traced here, without autograph; its variables have their final values.
      spec: of its argument.
      compute_dtype: `bfloat16` or `float16`.

    Returns:
      A function that has to be called in a graph (a `tf.function`).
    """
    function = tf.function(network, input_signature=[spec], autograph=False)
    traced = function.get_concrete_function()
    dtype = tf.as_dtype(compute_dtype)
    variables = {id(variable.handle): variable for variable in traced.graph.variables}
    reads = [
        _Reads(placeholder, variables.get(id(outer)), outer, dtype)
        for outer, placeholder in traced.graph.captures
    ]
    replaced = {name for read in reads for name in read.replaced_operations}
    graph_def = _without(traced.graph.as_graph_def(), replaced | {traced.inputs[0].op.name})
    names = list(traced.structured_outputs)
    tensors = [traced.structured_outputs[name].name for name in names]
    image_name = traced.inputs[0].name

    def run(images: tf.Tensor) -> Outputs:
        values = {image_name: images}
        for read in reads:
            values.update(read.values())
        outputs = tf.graph_util.import_graph_def(
            graph_def, input_map=values, return_elements=tensors, name="network"
        )
        return dict(zip(names, outputs))

    return run


def round_weights(weights: Iterable[tf.Variable], dtype: str) -> None:
    """Rounds float32 variables to the numbers that a half type can hold; they stay float32.

    Args:
      weights: changed.
      dtype: `bfloat16` or `float16`.
    """
    for weight in weights:
        if weight.dtype == tf.float32:
            weight.assign(tf.cast(tf.cast(weight, dtype), tf.float32))


class _Reads:
    """How a traced graph reads one thing from outside, and what it reads instead.

    Args:
      placeholder: stands for it in the graph.
      variable: what it is; None = a constant.
      outer: its value outside of the graph.
      dtype: of half weights.
    """

    def __init__(
        self,
        placeholder: tf.Tensor,
        variable: Optional[tf.Variable],
        outer: tf.Tensor,
        dtype: tf.DType,
    ) -> None:
        self._outer = outer
        self._variable = variable
        self._half: Optional[tf.Variable] = None
        self._reads: List[tf.Operation] = []
        self._casts: List[tf.Operation] = []
        self._placeholder = placeholder
        if variable is None:
            return
        self._reads = [each for each in placeholder.consumers() if each.type == _READ]
        readers = [reader for read in self._reads for reader in read.outputs[0].consumers()]
        only_here = len(self._reads) == len(placeholder.consumers())
        if only_here and readers and all(_casts_to(reader, dtype) for reader in readers):
            self._casts = readers
            self._half = tf.Variable(tf.cast(variable, dtype), trainable=False)

    @property
    def replaced_operations(self) -> Set[str]:
        """Names of the operations whose results `values` replaces."""
        return {each.name for each in [self._placeholder.op, *self._reads, *self._casts]}

    def values(self) -> Dict[str, Any]:
        """Name of a tensor of the traced graph -> what takes its place in the current graph."""
        graph = tf.compat.v1.get_default_graph()
        if self._variable is None:
            return {self._placeholder.name: graph.capture(self._outer)}
        if self._half is not None:
            value = self._half.read_value()
            return {cast.outputs[0].name: value for cast in self._casts}
        value = self._variable.read_value()
        used = [read for read in self._reads if read.outputs[0].consumers()]
        replaced = {read.outputs[0].name: value for read in used}
        if len(self._reads) < len(self._placeholder.consumers()):
            replaced[self._placeholder.name] = graph.capture(self._outer)
        return replaced


def _casts_to(operation: tf.Operation, dtype: tf.DType) -> bool:
    return operation.type == _CAST and operation.outputs[0].dtype == dtype


def _without(graph_def: Any, names: Set[str]) -> Any:
    """A copy of a graph without some nodes, and without the waiting of others for them."""
    waits_for = {f"^{name}" for name in names}
    result = type(graph_def)(library=graph_def.library, versions=graph_def.versions)
    for node in graph_def.node:
        if node.name in names:
            continue
        kept = result.node.add()
        kept.CopyFrom(node)
        kept.input[:] = [each for each in node.input if each not in waits_for]
    return result

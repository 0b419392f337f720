"""Parameters of a model, and the multiply-adds of one image through it, without running it."""

from __future__ import annotations

import math
import re
from typing import Callable, Dict, List, NamedTuple, Sequence, Set, Tuple

import tensorflow as tf

from kmax_tf.tracing import functions_inlined

_PRODUCT = re.compile(r"Conv|MatMul|Einsum")
"""Operations of such a type multiply and add; one that is not in `_COUNTERS` must not count 0."""

_CONTROL_FLOW = frozenset(
    (
        "Case", "For", "If", "PartitionedCall", "StatefulPartitionedCall", "StatelessCase",
        "StatelessIf", "StatelessWhile", "While", "XlaLaunch",
    )
)  # fmt: skip


class ModelSize(NamedTuple):
    """How large a model is.

    Attributes:
      parameters: numbers in all variables, averages of batch norms included.
      trainable_parameters: those that training updates by gradients.
      encoder_parameters: those of the pixel encoder, trainable or not.
      inference_parameters: those that an inference reads: without auxiliary heads.
      multiply_adds: products of convolutions and matrices for one image in inference.
    """

    parameters: int
    trainable_parameters: int
    encoder_parameters: int
    inference_parameters: int
    multiply_adds: float


def measure_size(model: tf.keras.Model, crop: Tuple[int, int], *, batch_size: int = 1) -> ModelSize:
    """Counts the parameters of `model`, and the multiply-adds of its inference per image.

    The graph of the inference is traced, not run: no feature map is allocated.

    Args:
      model: float32 [B, H, W, 3] -> tensors; has its variables, and the attribute `pixel_encoder`.
      crop: H and W.
      batch_size: B of the traced graph; the result is per image.

    Raises:
      ValueError: the graph holds an operation that cannot be counted.
    """
    inference = tf.function(lambda images: model(images, training=False), autograph=False)
    with functions_inlined():
        traced = inference.get_concrete_function(
            tf.TensorSpec([batch_size, *crop, 3], tf.float32, name="images")
        )
    needed = _operations_behind(traced.outputs)
    names = {operation.name for operation in needed}
    read = {
        id(outer) for outer, placeholder in traced.graph.captures if placeholder.op.name in names
    }
    return ModelSize(
        parameters=_count(model.variables),
        trainable_parameters=_count(model.trainable_variables),
        encoder_parameters=_count(model.pixel_encoder.variables),
        inference_parameters=_count([v for v in model.variables if id(v.handle) in read]),
        multiply_adds=count_multiply_adds(needed) / batch_size,
    )


def count_multiply_adds(operations: Sequence[tf.Operation]) -> int:
    """Multiply-adds of the convolutions and matrix products among `operations`.

    As usual in papers: taps that fall on padding count, while norms, activations, resizing, bias
    additions and softmax do not. All shapes have to be known.

    Raises:
      ValueError: an operation multiplies matrices, calls a function or branches, but no rule says
        how often; or a shape is not known.
    """
    total = 0
    for operation in operations:
        if operation.type in _COUNTERS:
            total += _COUNTERS[operation.type](operation)
        elif operation.type in _CONTROL_FLOW or _PRODUCT.search(operation.type):
            raise ValueError(
                f"Multiply-adds are known for {', '.join(sorted(_COUNTERS))}; received the "
                f"operation {operation.name} of type {operation.type}."
            )
    return total


def _operations_behind(outputs: Sequence[tf.Tensor]) -> List[tf.Operation]:
    """All operations that the values of `outputs` are computed from, each once.

    Others are traced too, but TensorFlow drops products that nobody reads before it runs a graph.
    Control inputs are no such path: outputs wait for the read of every variable, used or not.
    """
    found: Dict[str, tf.Operation] = {}
    waiting = [output.op for output in outputs]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs]
    return list(found.values())


def _count(variables: Sequence[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)


def _shape(tensor: tf.Tensor) -> List[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"Multiply-adds need shapes that are fully defined; received {tensor.shape} of "
            f"{tensor.name}."
        )
    return tensor.shape.as_list()


def _convolution(operation: tf.Operation) -> int:
    # The third axis of a kernel holds the channels of one group.
    height, width, channels, _ = _shape(operation.inputs[1])
    return math.prod(_shape(operation.outputs[0])) * height * width * channels


def _depthwise_convolution(operation: tf.Operation) -> int:
    height, width, _, _ = _shape(operation.inputs[1])
    return math.prod(_shape(operation.outputs[0])) * height * width


def _matrix_product(transposed: str) -> Callable[[tf.Operation], int]:
    """A counter; `transposed` names the attribute that transposes the first factor."""

    def count(operation: tf.Operation) -> int:
        summed = _shape(operation.inputs[0])[-2 if operation.get_attr(transposed) else -1]
        return math.prod(_shape(operation.outputs[0])) * summed

    return count


def _einsum(operation: tf.Operation) -> int:
    """Every combination of indices is one multiply-add; with one factor there is no product."""
    if len(operation.inputs) == 1:
        return 0
    factors, result = operation.get_attr("equation").decode().replace(" ", "").split("->")
    sizes: Dict[str, int] = {}
    owners: Dict[str, Set[int]] = {}
    for index, (labels, factor) in enumerate(zip(factors.split(","), operation.inputs)):
        shape = _shape(factor)
        for label, size in zip(_axis_labels(labels, len(shape)), shape):
            sizes[label] = max(sizes.get(label, 1), size)  # An ellipsis broadcasts.
            owners.setdefault(label, set()).add(index)
    # What only one factor has, and the result has not, is summed up before the product.
    kept = set(_axis_labels(result, len(operation.outputs[0].shape)))
    return math.prod(
        size for label, size in sizes.items() if label in kept or len(owners[label]) > 1
    )


def _axis_labels(labels: str, rank: int) -> List[str]:
    """One label per axis; those of an ellipsis are numbered from its right end."""
    before, ellipsis, after = labels.partition("...")
    hidden = rank - len(before) - len(after) if ellipsis else 0
    return [*before, *(f"...{axis}" for axis in range(hidden, 0, -1)), *after]


_COUNTERS: Dict[str, Callable[[tf.Operation], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise_convolution,
    "MatMul": _matrix_product("transpose_a"),
    "BatchMatMul": _matrix_product("adj_x"),
    "BatchMatMulV2": _matrix_product("adj_x"),
    "BatchMatMulV3": _matrix_product("adj_x"),
    "Einsum": _einsum,
}

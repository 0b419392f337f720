"""The memory that the results of a training step need, read off its graph without running it."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import tensorflow as tf

# The result is the first input under another name.
_ALIASES = frozenset(("ExpandDims", "Identity", "Reshape", "Squeeze", "StopGradient"))
# Variables and constants are there before the step.
_NOT_COMPUTED = frozenset(("Const", "Placeholder", "ReadVariableOp"))


def estimate_activations(model: tf.keras.Model, *, batch_size: int, crop: Tuple[int, int]) -> int:
    """The most bytes of results that forward and backward pass of the network hold at a time.

    Operations are taken in the order in which they were traced, and a result is let go after the
    last one that reads it. So layers that are recomputed count as they run. Losses, buffers inside
    operations, and what TensorFlow runs at the same time are not in it; gradients of the weights
    are left to the caller.

    Args:
      model: `model(images, training=True)` -> nest of tensors; has its variables.
      batch_size: images that are worked through at a time.
      crop: height and width.
    """

    def compute_gradients(images: tf.Tensor) -> Sequence[tf.Tensor]:
        with tf.GradientTape() as tape:
            results = [t for t in tf.nest.flatten(model(images, training=True)) if t is not None]
            floats = [tf.cast(t, tf.float32) for t in results if t.dtype.is_floating]
            loss = tf.add_n([tf.reduce_sum(t) for t in floats])
        gradients = tape.gradient(loss, model.trainable_variables)
        return [gradient for gradient in gradients if gradient is not None]

    traced = tf.function(compute_gradients, autograph=False).get_concrete_function(
        tf.TensorSpec([batch_size, *crop, 3], tf.float32)
    )
    operations = traced.graph.get_operations()
    return find_peak(operations, excluded=traced.outputs)


def find_peak(operations: Sequence[tf.Operation], *, excluded: Sequence[tf.Tensor]) -> int:
    """The most bytes of results that are alive at a time.

    Args:
      operations: in the order in which they run.
      excluded: results that are not counted.
    """
    origins: Dict[int, tf.Tensor] = {}
    last_reader: Dict[int, int] = {}

    def origin(tensor: tf.Tensor) -> tf.Tensor:
        return origins.get(id(tensor), tensor)

    for index, operation in enumerate(operations):
        for tensor in operation.inputs:
            last_reader[id(origin(tensor))] = index
        if operation.type in _ALIASES:
            origins[id(operation.outputs[0])] = origin(operation.inputs[0])
    ignored = {id(origin(tensor)) for tensor in excluded}
    ends: Dict[int, int] = {}
    alive = peak = 0
    for index, operation in enumerate(operations):
        if operation.type not in _ALIASES | _NOT_COMPUTED:
            for tensor in operation.outputs:
                end = last_reader.get(id(tensor), index)
                if id(tensor) not in ignored:
                    alive += _size(tensor)
                    ends[end] = ends.get(end, 0) + _size(tensor)
        peak = max(peak, alive)
        alive -= ends.pop(index, 0)
    return peak


def _size(tensor: tf.Tensor) -> int:
    if not tensor.shape.is_fully_defined() or not tensor.dtype.size:
        return 0
    return tensor.shape.num_elements() * tensor.dtype.size

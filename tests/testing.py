"""Checks that every layer has to pass."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.layers.norm import BatchNorm, NormSettings

NORM = NormSettings(momentum=0.9, epsilon=1e-3, sync=True)


def random_tensor(*shape: int, seed: int = 0) -> tf.Tensor:
    """Standard normal float32 tensor, the same in every run."""
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)


def wake_residuals(layer: tf.keras.layers.Layer) -> None:
    """Gives every batch norm different scales, so that no branch is silent."""
    for index, part in enumerate(layer.submodules):
        if isinstance(part, BatchNorm) and part.built:
            part.gamma.assign(0.5 + tf.random.stateless_uniform(part.gamma.shape, [index, 1]))


def run_layer_test(
    layer_type: Callable[..., tf.keras.layers.Layer],
    config: Dict[str, Any],
    inputs: Sequence[Any],
    *,
    expected_shapes: Sequence[Sequence[int]],
    expected_weights: int,
    call: Optional[Dict[str, Any]] = None,
    has_training: bool = True,
) -> tf.keras.layers.Layer:
    """Eager, traced, rebuilt from its config, one gradient step, bfloat16.

    Args:
      layer_type: class of the layer.
      config: constructor arguments.
      inputs: positional arguments of the call.
      expected_shapes: of all tensors of the result, flattened.
      expected_weights: number of variables.
      call: further keyword arguments of the call.
      has_training: whether the call takes `training`.

    Returns:
      The layer, for further checks.
    """
    call = dict(call or {})
    layer = layer_type(**config)
    layer(*inputs, **call)
    wake_residuals(layer)
    outputs = layer(*inputs, **call)
    shapes = [tuple(output.shape) for output in _tensors(outputs)]
    assert shapes == [tuple(shape) for shape in expected_shapes]
    assert len(layer.weights) == expected_weights

    clone = layer_type.from_config(json.loads(json.dumps(layer.get_config())))
    clone(*inputs, **call)
    clone.set_weights(layer.get_weights())
    _assert_close(clone(*inputs, **call), outputs)

    traced = tf.function(lambda *arguments: layer(*arguments, **call), autograph=False)
    _assert_close(traced(*inputs), outputs)

    training = {"training": True} if has_training else {}
    _gradient_step(layer, inputs, {**call, **training})
    _run_in_bfloat16(layer_type, config, inputs, {**call, **training})
    return layer


def _gradient_step(layer: tf.keras.layers.Layer, inputs: Sequence[Any], call: dict) -> None:
    with tf.GradientTape() as tape:
        loss = _loss(layer(*inputs, **call))
    gradients = tape.gradient(loss, layer.trainable_variables)
    for variable, gradient in zip(layer.trainable_variables, gradients):
        assert isinstance(gradient, tf.Tensor), f"{variable.name}: {gradient}"
        assert np.isfinite(gradient).all(), variable.name
        variable.assign_sub(1e-3 * gradient)
    assert np.isfinite(_loss(layer(*inputs, **call)))


def _run_in_bfloat16(layer_type: Callable, config: dict, inputs: Sequence[Any], call: dict) -> None:
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = layer_type(**config)
        outputs = layer(*inputs, **call)
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)
    for variable in layer.variables:
        assert variable.dtype == tf.float32, variable.name
    assert np.isfinite(_loss(outputs))


def _tensors(outputs: Any) -> List[tf.Tensor]:
    return [output for output in tf.nest.flatten(outputs) if output is not None]


def _loss(outputs: Any) -> tf.Tensor:
    floats = [output for output in _tensors(outputs) if output.dtype.is_floating]
    return tf.add_n([tf.reduce_mean(tf.square(tf.cast(output, tf.float32))) for output in floats])


def _assert_close(actual: Any, expected: Any) -> None:
    for left, right in zip(_tensors(actual), _tensors(expected)):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)

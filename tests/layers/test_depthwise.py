from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.depthwise import depthwise_conv


def _draw(height, width, size, dtype=tf.float32):
    """Inputs, kernel, gradient of the result."""
    random = np.random.RandomState(0)
    shapes = [2, height, width, 3], [size, size, 3, 1], [2, height, width, 3]
    return [tf.cast(random.randn(*shape), dtype) for shape in shapes]


def _gradients(inputs, kernel, upstream, *, training=True):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = depthwise_conv(inputs, kernel, training=training)
    return [outputs, *tape.gradient(outputs, [inputs, kernel], upstream)]


def _filter_gradient_by_hand(inputs, upstream, size):
    """Sum of the products of upstream and the inputs that a tap has looked at, in float64."""
    reach = size // 2
    rows, columns = upstream.shape[1:3]
    padded = np.pad(inputs.numpy().astype(np.float64), [(0, 0), *[(reach, reach)] * 2, (0, 0)])
    return np.array(
        [
            [
                (padded[:, i : i + rows, j : j + columns] * upstream).sum((0, 1, 2))[:, np.newaxis]
                for j in range(size)
            ]
            for i in range(size)
        ]
    )


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (5, 4), (6, 2), (3, 1), (1, 1)])
def test_gradient_of_every_tap(height, width, size):
    arrays = _draw(height, width, size)
    outputs, of_inputs, of_kernel = _gradients(*arrays)
    plain_outputs, plain_of_inputs, _ = _gradients(*arrays, training=False)
    np.testing.assert_array_equal(outputs, plain_outputs)
    np.testing.assert_array_equal(of_inputs, plain_of_inputs)
    expected = _filter_gradient_by_hand(arrays[0], arrays[2].numpy(), size)
    np.testing.assert_allclose(of_kernel, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [5, 7])
def test_compiled_and_of_unknown_size(size):
    arrays = _draw(9, 12, size)
    unknown = tf.TensorSpec([None, None, None, 3])
    signature = [unknown, tf.TensorSpec(arrays[1].shape), unknown]
    expected = _gradients(*arrays)
    for function in (
        tf.function(_gradients, input_signature=signature, autograph=False),
        tf.function(_gradients, autograph=False, jit_compile=True),
    ):
        for found, value in zip(function(*arrays), expected):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5)


def _operations(training, dtype=tf.float32):
    graph = tf.function(_gradients, autograph=False).get_concrete_function(
        *_draw(9, 12, 5, dtype), training=training
    )
    return [operation.type for operation in graph.graph.get_operations()]


def test_only_training_in_float32_takes_windows():
    windows = "DepthwiseConv2dNativeBackpropFilter"
    assert _operations(training=True).count(windows) == 2
    assert _operations(training=True, dtype=tf.bfloat16).count(windows) == 1
    # What is exported has no gradient of its own, which a loader would warn of.
    assert "IdentityN" not in _operations(training=False)


def test_an_accelerator_has_its_own_kernels(monkeypatch):
    kinds = {"GPU": [object()]}
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: kinds.get(kind, []))
    assert _operations(training=True).count("DepthwiseConv2dNativeBackpropFilter") == 1
    assert "IdentityN" not in _operations(training=True)

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.activation import activation_function


def test_gelu_is_the_exact_one():
    values = [-2.0, -0.5, 0.0, 1.0, 3.0]
    expected = [0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in values]
    np.testing.assert_allclose(
        activation_function("gelu")(tf.constant(values)), expected, atol=1e-6
    )


@pytest.mark.parametrize("training", [False, True])
def test_gradient_of_gelu(training):
    values = tf.linspace(-4.0, 4.0, 33)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        ours = activation_function("gelu")(values, training)
        plain = tf.nn.gelu(values, approximate=False)
    np.testing.assert_allclose(ours, plain, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(ours, values), tape.gradient(plain, values), atol=1e-6)


def test_relu_and_identity():
    values = tf.constant([-1.0, 2.0])
    np.testing.assert_array_equal(activation_function("relu")(values), [0.0, 2.0])
    np.testing.assert_array_equal(activation_function(None)(values), values)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"accepts .*gelu.*received 'swish'"):
        activation_function("swish")

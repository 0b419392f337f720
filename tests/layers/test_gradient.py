from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.gradient import set_gradient, unrecorded, variables_read, with_gradient


def _square_with_gradient(values):
    # Ten times the true gradient, to be told from the automatic one.
    return values * values, lambda upstream: 20.0 * values * upstream


_square = with_gradient(_square_with_gradient)


@with_gradient
def _sum_and_product(first, second):
    def gradient(d_sum, d_product):
        return d_sum + d_product * second, None

    return (first + second, first * second), gradient


def _gradient_of(function, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = function(*inputs)
    return tape.gradient(result, inputs)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_the_written_gradient_is_taken(wrap):
    [gradient] = wrap(lambda x: _gradient_of(_square, x))(tf.constant([1.0, -3.0]))
    np.testing.assert_array_equal(gradient, [20.0, -60.0])


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_several_results_and_inputs_without_gradient(wrap):
    first, second = wrap(lambda x, y: _gradient_of(_sum_and_product, x, y))(
        tf.constant(2.0), tf.constant(5.0)
    )
    assert first == 6.0 and second is None


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_variables_are_inputs(wrap):
    variable = tf.Variable(3.0)

    def step():
        with tf.GradientTape() as tape:
            result = _square(variable)
        return tape.gradient(result, variable)

    assert wrap(step)() == 60.0


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_a_result_may_depend_on_variables_that_were_read(wrap):
    variable = tf.Variable(3.0)

    def step(values):
        with tf.GradientTape() as tape:
            with variables_read() as reader:
                result = values * variable
            read = reader.watched_variables()
            set_gradient([result], [values, *read], lambda upstream: [None, 7.0 * upstream])
        assert len(read) == 1
        return tape.gradient(result, variable)

    assert wrap(step)(tf.constant(1.0)) == 7.0


def test_what_is_computed_unrecorded_has_no_gradient():
    values = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(values)
        with unrecorded():
            hidden = values * 3.0
        result = hidden * values
    assert tape.gradient(result, values) == 6.0


def test_the_graph_has_no_operation_of_its_own():
    def types(square):
        step = tf.function(lambda x: _gradient_of(lambda x: 2.0 * square(x), x), autograph=False)
        graph = step.get_concrete_function(tf.TensorSpec([5])).graph
        return sorted(operation.type for operation in graph.get_operations())

    usual = types(tf.custom_gradient(_square_with_gradient))
    assert types(_square).count("Mul") == usual.count("Mul") == 5
    assert {"IdentityN", "Fill"}.isdisjoint(types(_square))
    assert len(types(_square)) < len(usual)


def test_from_outside_a_traced_function_the_gradient_is_the_automatic_one():
    traced = tf.function(_square, input_signature=[tf.TensorSpec([2])])
    [gradient] = _gradient_of(traced, tf.constant([1.0, -3.0]))
    np.testing.assert_array_equal(gradient, [2.0, -6.0])

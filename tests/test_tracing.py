from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.tracing import constants_shared, functions_inlined


@tf.function
def _double(values):
    return 2.0 * values


def _operations(*, inlined):
    def call(values):
        return _double(values)

    outer = tf.function(call, input_signature=[tf.TensorSpec([3])])
    if not inlined:
        return {o.type for o in outer.get_concrete_function().graph.get_operations()}
    with functions_inlined():
        return {o.type for o in outer.get_concrete_function().graph.get_operations()}


def test_what_a_function_computes_stands_in_the_outer_graph():
    assert "Mul" not in _operations(inlined=False)
    assert "Mul" in _operations(inlined=True)


@pytest.mark.parametrize("before", [False, True])
def test_the_setting_is_put_back_even_after_an_error(before):
    tf.config.run_functions_eagerly(before)
    try:
        with pytest.raises(ValueError, match=r"^stop$"), functions_inlined():
            assert tf.config.functions_run_eagerly()
            raise ValueError("stop")
        assert tf.config.functions_run_eagerly() is before
    finally:
        tf.config.run_functions_eagerly(False)


def _constants(function, *, shared=True):
    def call():
        with constants_shared() if shared else contextlib.nullcontext():
            return function()

    graph = tf.function(call, autograph=False).get_concrete_function().graph
    return [o for o in graph.get_operations() if o.type == "Const"]


def test_equal_constants_are_one_operation():
    def add():
        return tf.constant(2.0) + tf.constant(2.0) + tf.constant(3.0)

    assert len(_constants(add, shared=False)) == 3
    assert len(_constants(add)) == 2


def test_constants_are_equal_in_value_type_and_shape():
    def make():
        return [
            tf.constant(value, dtype, shape)
            for value in (0, 1)
            for dtype in (tf.int32, tf.float32)
            for shape in ([], [1], [2], [1, 2])
            for _ in range(2)
        ] + [tf.constant(-0.0), tf.constant(0.0)]

    values = [tf.make_ndarray(o.get_attr("value")) for o in _constants(make)]
    assert len(values) == 2 * 2 * 4 + 1
    assert len({(v.tobytes(), v.dtype, v.shape) for v in values}) == len(values)


def test_results_and_gradients_stay():
    values = tf.constant([[1.0, 2.0], [3.0, 5.0]])

    def compute(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(tf.transpose(values * 2.0) ** 2.0 + 2.0)
        return loss, tape.gradient(loss, values)

    shared = tf.function(constants_shared()(compute), autograph=False)
    for with_sharing, plain in zip(shared(values), compute(values)):
        np.testing.assert_array_equal(with_sharing, plain)


def test_constants_with_a_place_of_their_own_are_made():
    variable = tf.Variable(1.0)

    def add():
        first = tf.constant(2.0)
        with tf.control_dependencies([variable.assign_add(1.0)]):
            second = tf.constant(2.0)
        with tf.device("CPU:0"):
            third = tf.constant(2.0)
        with tf.compat.v1.colocate_with(first):
            fourth = tf.constant(2.0)
        return first + second + third + fourth + tf.constant(2.0)

    twos = [o for o in _constants(add) if tf.make_ndarray(o.get_attr("value")) == 2.0]
    assert len(twos) == 4
    assert [bool(o.control_inputs) for o in twos] == [False, True, False, False]
    assert [bool(o.device) for o in twos] == [False, False, True, False]
    assert sum(b"loc:@Const" in b"".join(o.colocation_groups()) for o in twos[3:]) == 1


def test_a_graph_inside_has_its_own():
    def loop():
        return tf.while_loop(lambda x: x < 5.0, lambda x: x + 5.0, [tf.constant(5.0) * 0.0])

    # A constant of the outer graph inside the loop's would be one more input of the loop.
    assert len(_constants(loop)) == len(_constants(loop, shared=False))
    assert tf.function(constants_shared()(loop), autograph=False)()[0] == 5.0


def test_sharing_ends_with_its_context_even_after_an_error():
    def add():
        inside = tf.constant(2.0)
        with constants_shared():  # Already so: nothing begins or ends here.
            inside += tf.constant(2.0)
        inside += tf.constant(2.0)
        return inside

    def fail():
        with pytest.raises(ValueError, match=r"^stop$"), constants_shared():
            raise ValueError("stop")
        return tf.constant(2.0) + tf.constant(2.0)

    def after():
        with constants_shared():
            inside = tf.constant(2.0)
        return inside + tf.constant(2.0)

    assert len(_constants(add)) == 1
    assert len(_constants(fail, shared=False)) == 2
    assert len(_constants(after, shared=False)) == 2


def test_without_a_graph_nothing_changes():
    with constants_shared():
        assert tf.constant(2.0) + tf.constant(2.0) == 4.0

from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.tracing import functions_inlined


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

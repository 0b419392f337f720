from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers.aspp import ASPP
from kmax_tf.layers.drop_path import DropPath
from kmax_tf.layers.random_stream import draw_uniform, random_stream
from tests.testing import NORM


def draws(seed, count=3):
    with random_stream(tf.constant(seed)):
        return [draw_uniform([4, 5]).numpy() for _ in range(count)]


def test_draws_are_a_function_of_seed_and_order():
    first, second = draws([1, 2]), draws([1, 2])
    np.testing.assert_array_equal(first, second)
    distinct = [*first, *draws([1, 3]), *draws([2, 2])]
    assert len({values.tobytes() for values in distinct}) == 9
    assert all(values.min() >= 0 and values.max() < 1 for values in distinct)


def test_streams_nest_and_close():
    with random_stream(tf.constant([1, 2])):
        draw_uniform([4, 5])
        with random_stream(tf.constant([7, 7])):
            draw_uniform([4, 5])
        inner_closed = draw_uniform([4, 5])
    np.testing.assert_array_equal(inner_closed, draws([1, 2])[1])
    assert not np.array_equal(draw_uniform([4, 5]), draw_uniform([4, 5]))


@pytest.mark.parametrize(
    "layer",
    [
        DropPath(0.5),
        ASPP(2, atrous_rates=(1, 2, 3), dropout_rate=0.5, norm=NORM, activation="relu"),
    ],
    ids=["drop_path", "aspp"],
)
def test_layers_draw_from_the_stream(layer):
    inputs = tf.random.stateless_normal([32, 3, 3, 2], [1, 1])
    layer(inputs)

    @tf.function
    def run(seed):
        with random_stream(seed):
            return layer(inputs, training=True)

    one, again, other = run(tf.constant([0, 1])), run(tf.constant([0, 1])), run(tf.constant([0, 2]))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)

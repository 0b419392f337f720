from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers import row_product


@pytest.mark.parametrize(("rows", "channels"), [(1, 1024), (81, 1024), (128, 1500), (129, 1024)])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_values_and_gradients_are_those_of_the_product(rows, channels, dtype):
    left, kernel, upstream = (
        tf.cast(tf.random.stateless_normal(shape, seed=[seed, 0]), dtype)
        for seed, shape in enumerate(([rows, 6], [6, channels], [rows, channels]))
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([left, kernel])
        expected = tf.matmul(left, kernel)
        product = row_product.row_product(left, kernel, training=True)
    np.testing.assert_array_equal(product, expected)
    pairs = zip(
        tape.gradient(product, [left, kernel], output_gradients=upstream),
        tape.gradient(expected, [left, kernel], output_gradients=upstream),
    )
    tolerance = 1e-5 if dtype == tf.float32 else 2e-2
    for gradient, wanted in pairs:
        gradient, wanted = (tf.cast(t, tf.float32).numpy() for t in (gradient, wanted))
        np.testing.assert_allclose(
            gradient, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max()
        )


def test_only_few_rows_and_many_channels_in_training(monkeypatch):
    called = []
    monkeypatch.setattr(row_product, "_product_of_few", lambda *arguments: called.append(1))
    for rows, channels, training in ((129, 1024, True), (81, 1023, True), (81, 1024, False)):
        row_product.row_product(tf.ones([rows, 2]), tf.ones([2, channels]), training=training)
    assert not called
    row_product.row_product(tf.ones([128, 2]), tf.ones([2, 1024]), training=True)
    assert called

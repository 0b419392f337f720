from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers import dilated_conv


def _random(shape, seed):
    return tf.random.stateless_normal(shape, seed=[seed, 0])


@pytest.mark.parametrize("taps", [(3, 3), (1, 3), (5, 3)])
@pytest.mark.parametrize(
    ("size", "dilation"), [((9, 9), 6), ((4, 7), 3), ((9, 5), 12), ((6, 6), 1)]
)
def test_the_sum_over_taps_is_the_convolution(monkeypatch, size, dilation, taps):
    inputs, kernel = _random([2, *size, 4], 1), _random([*taps, 4, 5], 2)
    results = []
    for share in (0.0, 1.0):  # Never, always.
        monkeypatch.setattr(dilated_conv, "_FEW_READ_THE_MAP", share)
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = dilated_conv.dilated_conv(inputs, kernel, dilation, training=True)
        upstream = _random(outputs.shape, 3)
        gradients = tape.gradient(outputs, [inputs, kernel], output_gradients=upstream)
        results.append((outputs, *gradients))
    for by_convolution, by_taps in zip(*results):
        np.testing.assert_allclose(by_taps, by_convolution, atol=2e-5)


@pytest.mark.parametrize(
    ("size", "dilation", "share"),
    [(9, 6, (9 + 3 + 3) ** 2 / 27**2), (21, 12, (21 + 9 + 9) ** 2 / 63**2), (9, 12, 1 / 9)],
)
def test_share_of_what_reads_the_map(size, dilation, share):
    shapes = tf.TensorShape([1, size, size, 4]), tf.TensorShape([3, 3, 4, 4])
    assert dilated_conv._share_inside(*shapes, dilation) == pytest.approx(share)
    assert dilated_conv._share_inside(tf.TensorShape([1, None, 9, 4]), shapes[1], 6) == 1.0


def test_only_where_most_reads_padding_and_nothing_is_lost(monkeypatch):
    called = []
    monkeypatch.setattr(dilated_conv, "_sum_over_taps", lambda *arguments: called.append(1))
    kernel = _random([3, 3, 4, 5], 2)
    narrow, wide = _random([1, 9, 9, 4], 1), _random([1, 41, 41, 4], 1)
    dilated_conv.dilated_conv(wide, kernel, 6, training=True)
    dilated_conv.dilated_conv(narrow, kernel, 6, training=False)
    half = tf.cast(narrow, tf.bfloat16), tf.cast(kernel, tf.bfloat16)
    dilated_conv.dilated_conv(*half, 6, training=True)
    assert not called
    dilated_conv.dilated_conv(narrow, kernel, 6, training=True)
    assert called

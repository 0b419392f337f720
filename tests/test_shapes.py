from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf import shapes


def interpolate(source: np.ndarray, size) -> np.ndarray:
    """Aligned-corners bilinear interpolation of [h, w, D], written out."""
    result = source.astype(np.float64)
    for axis, new in enumerate(size):
        old = result.shape[axis]
        position = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else old / new)
        low = np.minimum(np.floor(position).astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        weight = (position - low).reshape([-1 if a == axis else 1 for a in range(3)])
        result = result.take(low, axis) * (1 - weight) + result.take(high, axis) * weight
    return result


@pytest.mark.parametrize("size", [(9, 17), (3, 5), (5, 5), (1, 9), (4, 12)])
def test_bilinear_matches_the_formula(size):
    source = np.random.default_rng(0).normal(size=(2, 5, 9, 3)).astype(np.float32)
    resized = shapes.resize_bilinear(tf.constant(source), size)
    assert resized.shape == (2, *size, 3)
    for image, expected in zip(resized.numpy(), source):
        np.testing.assert_allclose(image, interpolate(expected, size), atol=1e-5)


def test_bilinear_keeps_dtype_and_static_shape_and_skips_identity():
    features = tf.zeros([1, 5, 9, 3], tf.bfloat16)
    assert shapes.resize_bilinear(features, (9, 17)).dtype == tf.bfloat16
    assert shapes.resize_bilinear(features, (5, 9)) is features


def test_bilinear_with_dynamic_sizes():
    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([2], tf.int32)]
    )
    def resize(features, size):
        return shapes.resize_bilinear(features, tf.unstack(size))

    source = np.random.default_rng(1).normal(size=(1, 3, 4, 2)).astype(np.float32)
    resized = resize(tf.constant(source), tf.constant([5, 7]))
    np.testing.assert_allclose(resized[0], interpolate(source[0], (5, 7)), atol=1e-5)


def test_nearest_rounds_half_up():
    labels = tf.reshape(tf.range(3), [1, 1, 3, 1])
    resized = shapes.resize_nearest(labels, (1, 5))
    # Sources 0, 0.5, 1, 1.5, 2: a half goes to the next pixel.
    assert resized.numpy().ravel().tolist() == [0, 1, 1, 2, 2]


def test_dimensions_are_static_where_known():
    seen = {}

    @tf.function(input_signature=[tf.TensorSpec([None, 5, None, 2])])
    def trace(tensor):
        seen["dimensions"] = shapes.dimensions(tensor)
        return tf.stack(shapes.dimensions(tensor))

    assert trace(tf.zeros([3, 5, 7, 2])).numpy().tolist() == [3, 5, 7, 2]
    assert seen["dimensions"][1] == 5 and seen["dimensions"][3] == 2
    assert tf.is_tensor(seen["dimensions"][0])


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 1), (1, 3), (1, 1)])
@pytest.mark.parametrize("size", [(9, 12), (1, 1), (8, 5)])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_subsample_is_the_strided_slice_exactly(rows, columns, size, dtype):
    features = tf.cast(tf.random.stateless_normal([2, *size, 3], seed=[1, 2]), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        sliced = features[:, ::rows, ::columns]
        sampled = shapes.subsample(features, rows, columns)
    np.testing.assert_array_equal(sampled, sliced)
    upstream = tf.cast(tf.random.stateless_normal(sliced.shape, seed=[3, 4]), dtype)
    expected = tape.gradient(sliced, features, output_gradients=upstream)
    np.testing.assert_array_equal(
        tape.gradient(sampled, features, output_gradients=upstream), expected
    )


def test_a_subsample_keeps_what_is_not_finite():
    features = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [float("nan"), 8.0, float("inf")]])
    sampled = shapes.subsample(features[tf.newaxis, :, :, tf.newaxis], 2, 2)[0, :, :, 0]
    np.testing.assert_array_equal(sampled, [[1.0, 3.0], [float("nan"), float("inf")]])

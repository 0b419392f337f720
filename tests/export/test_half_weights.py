"""Half weights change nothing that a mixed-precision network computes, and halve what is stored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export.half_weights import round_weights, with_half_weights

SPEC = tf.TensorSpec([None, None, None, 3], tf.float32)


class Network:
    """A kernel read as half, once more in a branch; an offset read in float32; one read as both."""

    def __init__(self, dtype: str) -> None:
        random = np.random.RandomState(0)
        self.dtype = dtype
        self.kernel = tf.Variable(random.normal(size=[3, 5]).astype(np.float32))
        self.offset = tf.Variable(random.normal(size=[5]).astype(np.float32))
        self.both = tf.Variable(random.normal(size=[5]).astype(np.float32))
        self.inner = tf.Variable(random.normal(size=[5]).astype(np.float32))

    def __call__(self, images: tf.Tensor) -> dict:
        pixels = tf.cast(images, self.dtype)
        features = tf.einsum("bhwc,cd->bhwd", pixels, tf.cast(self.kernel, self.dtype))
        again = tf.reduce_sum(tf.cast(self.kernel, self.dtype))
        features += tf.cast(self.both, self.dtype) + again
        total = tf.cast(features, tf.float32) + self.offset + self.both
        # A branch, which reads a variable of its own.
        total = tf.cond(tf.reduce_mean(total) > -1e9, lambda: total * self.inner, lambda: total)
        return {"features": total, "largest": tf.reduce_max(total, axis=[1, 2])}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_results_are_the_same_bits(dtype):
    network = Network(dtype)
    images = tf.random.stateless_uniform([2, 7, 9, 3], [1, 2]) * 255
    half = tf.function(with_half_weights(network, SPEC, dtype), input_signature=[SPEC])
    plain = tf.function(network, input_signature=[SPEC])
    expected, received = plain(images), half(images)
    assert list(received) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name])

    stored = {variable.shape: variable.dtype for variable in half.get_concrete_function().variables}
    assert stored[network.kernel.shape] == tf.as_dtype(dtype)
    dtypes = sorted(v.dtype.name for v in half.get_concrete_function().variables)
    assert dtypes == sorted([dtype] + ["float32"] * 3)


def test_what_is_saved_is_half_as_large(tmp_path):
    """The variables of the original do not come along, and the rest runs when loaded again."""
    network = Network("bfloat16")
    half = tf.function(with_half_weights(network, SPEC, "bfloat16"), input_signature=[SPEC])
    concrete = half.get_concrete_function()
    module = tf.Module()
    module.weights = list(concrete.variables)
    tf.saved_model.save(module, str(tmp_path), signatures={"serve": concrete})
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serve"]
    images = tf.ones([1, 4, 4, 3])
    expected = tf.function(network, input_signature=[SPEC])(images)
    np.testing.assert_array_equal(loaded(images=images)["features"], expected["features"])
    reader = tf.train.load_checkpoint(str(tmp_path / "variables" / "variables"))
    dtypes = list(reader.get_variable_to_dtype_map().values())
    assert dtypes.count(tf.bfloat16) == 1


def test_rounded_weights_are_what_a_half_type_holds():
    values = np.float32([1 + 2**-9, 1 + 2**-12, 3.0, 70000.0])
    weights = [tf.Variable(values), tf.Variable(2**24 + 1, dtype=tf.int32)]
    round_weights(weights, "float16")
    np.testing.assert_array_equal(weights[0], np.float32([1 + 2**-9, 1, 3, np.inf]))
    assert weights[1].numpy() == 2**24 + 1
    weights[0].assign(values)
    round_weights(weights, "bfloat16")
    np.testing.assert_array_equal(weights[0], np.float32([1, 1, 3, 70144]))

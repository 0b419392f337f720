"""TensorFlow Lite files: builtin operators, the numbers of TensorFlow, half weights, refusals."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export.half_weights import round_weights
from kmax_tf.export.tflite import load_tflite, write_tflite
from kmax_tf.layers.activation import gelu

SPEC = tf.TensorSpec([1, 4, 6, 3], tf.float32, name="image")


class Network:
    """A convolution, the exact GELU and an index."""

    def __init__(self) -> None:
        random = np.random.RandomState(0)
        self.kernel = tf.Variable(random.normal(size=(3, 3, 3, 400)).astype(np.float32))

    def __call__(self, image):
        features = gelu(tf.nn.conv2d(image, self.kernel, 1, "SAME"))
        return {"mean": tf.reduce_mean(features, [1, 2]), "best": tf.argmax(features, -1)}


def trace(function):
    return tf.function(function, input_signature=[SPEC]).get_concrete_function()


def some_image():
    return np.random.RandomState(1).uniform(0, 1, SPEC.shape).astype(np.float32)


def test_the_exact_gelu_is_a_builtin_operator(tmp_path):
    network = Network()
    write_tflite(trace(network), tmp_path / "model.tflite")
    received = load_tflite(tmp_path / "model.tflite")(some_image())
    expected = network(tf.constant(some_image()))
    assert set(received) == {"mean", "best"}
    np.testing.assert_allclose(received["mean"], expected["mean"], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(received["best"], expected["best"])


def test_half_weights_halve_the_file(tmp_path):
    network = Network()
    round_weights([network.kernel], "float16")
    assert np.all(network.kernel.numpy() == network.kernel.numpy().astype(np.float16))
    paths = [tmp_path / "single.tflite", tmp_path / "half.tflite"]
    for half, path in enumerate(paths):
        write_tflite(trace(network), path, half_weights=bool(half))
    single, half = (os.path.getsize(path) for path in paths)
    assert half < 0.6 * single
    # Weights that were rounded before are stored as they are.
    received = load_tflite(paths[1])(some_image())
    expected = network(tf.constant(some_image()))
    np.testing.assert_allclose(received["mean"], expected["mean"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("operation", "name"), [(tf.math.erf, "Erf"), (tf.math.erfinv, "Erfinv")])
def test_a_missing_operator_is_one_sentence(operation, name, tmp_path, capfd):
    path = tmp_path / "model.tflite"
    with pytest.raises(
        ValueError, match=rf"`--format=tflite` cannot hold .* has no {name}: export"
    ):
        write_tflite(trace(lambda image: {"result": operation(image)}), path)
    assert not path.exists()
    assert name not in capfd.readouterr().err  # The converter's own report is left out.
    os.write(2, b"standard error is back\n")
    assert "is back" in capfd.readouterr().err


def test_another_file_is_refused(tmp_path):
    (tmp_path / "model.tflite").write_text("nothing")
    with pytest.raises(ValueError, match=r"model\.tflite is no TensorFlow Lite file"):
        load_tflite(tmp_path / "model.tflite")

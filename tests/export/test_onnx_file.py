"""ONNX files: named tensors, the numbers of TensorFlow, and one sentence where it does not work."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export import onnx_file
from kmax_tf.export.onnx_file import load_onnx, require_onnx, write_onnx

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime")),
    reason="the extra [onnx] is not installed",
)
SPEC = tf.TensorSpec([1, 4, 6, 3], tf.float32, name="image")


def trace(function):
    return tf.function(function, input_signature=[SPEC]).get_concrete_function()


@needs_onnx
def test_variables_and_names_are_kept(tmp_path):
    kernel = tf.Variable(np.random.RandomState(0).normal(size=(3, 3, 3, 8)).astype(np.float32))

    def network(image):
        features = tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"))
        return {"zeros": tf.reduce_min(features, [1, 2]), "best": tf.argmax(features, -1)}

    write_onnx(trace(network), tmp_path / "model.onnx")
    image = np.random.RandomState(1).uniform(0, 255, SPEC.shape).astype(np.float32)
    received = load_onnx(tmp_path / "model.onnx")(image)
    expected = network(tf.constant(image))
    assert set(received) == {"zeros", "best"}
    np.testing.assert_array_equal(received["best"], expected["best"])
    np.testing.assert_allclose(received["zeros"], expected["zeros"], rtol=1e-5)


@needs_onnx
def test_what_onnx_cannot_do_is_one_sentence(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"`--format=onnx` cannot hold .* no counterpart of .*Qr"):
        write_onnx(trace(lambda image: {"result": tf.linalg.qr(image)[0]}), path)
    assert not path.exists()


@needs_onnx
def test_another_file_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_text("nothing")
    with pytest.raises(ValueError, match=r"ONNX Runtime cannot load .*model\.onnx"):
        load_onnx(tmp_path / "model.onnx")


def test_half_weights_are_not_offered(tmp_path):
    with pytest.raises(ValueError, match="tflite only"):
        write_onnx(None, tmp_path / "model.onnx", half_weights=True)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(onnx_file, "_PACKAGES", ("numpy", "tf2onnx_of_another_name"))
    with pytest.raises(ValueError, match=r"needs tf2onnx_of_another_name: `pip install .*\[onnx\]"):
        require_onnx()
    monkeypatch.setattr(onnx_file, "_PACKAGES", ("numpy",))
    require_onnx()

"""Operations with a conversion of our own give in ONNX Runtime what they give in TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export.onnx_operations import HANDLERS

pytest.importorskip("tf2onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from kmax_tf.export.onnx_file import load_onnx, write_onnx


def resize(image):
    # 5/3 and 17/5 are no float32: a size made of them is a pixel short.
    up = tf.raw_ops.ResizeBilinear(images=image, size=[5, 17], align_corners=True)
    return tf.raw_ops.ResizeBilinear(images=up, size=[4, 2], align_corners=True)


def count(image):
    numbers = tf.cast(image, tf.int32) % 3
    return tf.math.unsorted_segment_sum(tf.ones_like(numbers), numbers, num_segments=7)


def count_unknown_number(image):
    numbers = tf.cast(image, tf.int32) % 3
    return tf.math.unsorted_segment_sum(numbers, numbers, tf.reduce_max(numbers) + 4)


def one_hot_of_int32(image):
    return tf.one_hot(tf.cast(image, tf.int32) % 5, 4, dtype=tf.int32)


def one_hot_of_argmax(image):
    return tf.one_hot(tf.argmax(image, axis=-1), 4)


def add_integers(image):
    numbers = tf.cast(image, tf.int32)
    return tf.add_n([numbers, numbers * numbers, numbers + 1])


def loop(image):
    """As post-processing does: bands, each resized, in a loop."""
    bands = tf.map_fn(
        lambda row: resize(image[:, row : row + 3])[0],
        tf.range(3),
        fn_output_signature=tf.TensorSpec([4, 2, 2], tf.float32),
    )
    return tf.reduce_sum(bands, axis=0)


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (resize, {"ResizeBilinear"}),
        (count, {"UnsortedSegmentSum"}),
        (count_unknown_number, {"UnsortedSegmentSum"}),
        (one_hot_of_int32, {"OneHot"}),
        (one_hot_of_argmax, {"OneHot"}),
        (add_integers, {"AddN"}),
        (loop, set()),
    ],
)
def test_results_are_those_of_tensorflow(function, operations, tmp_path):
    assert operations <= set(HANDLERS)
    shape = [1, 5 if function is loop else 3, 5, 2]
    traced = tf.function(
        lambda image: {"result": function(image)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
    ).get_concrete_function()
    assert operations <= {operation.type for operation in traced.graph.get_operations()}
    write_onnx(traced, tmp_path / "model.onnx")
    run = load_onnx(tmp_path / "model.onnx")
    for seed in range(3):
        image = np.random.RandomState(seed).randint(0, 256, shape).astype(np.float32)
        expected = function(tf.constant(image)).numpy()
        received = run(image)["result"]
        assert received.dtype == expected.dtype
        np.testing.assert_allclose(received, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda image: tf.image.resize(image, [5, 5]), "with aligned corners only"),
        (lambda image: tf.one_hot(tf.cast(image, tf.int32), 3, on_value=2.0), "values 1 and 0"),
        (lambda image: tf.one_hot(tf.cast(image, tf.int32), 3, axis=1), "on the last axis"),
    ],
)
def test_other_uses_of_them_are_refused(function, message, tmp_path):
    traced = tf.function(
        lambda image: {"result": function(image)},
        input_signature=[tf.TensorSpec([1, 3, 5, 2], tf.float32, name="image")],
    ).get_concrete_function()
    with pytest.raises(ValueError, match=f"cannot hold this network: .*{message}"):
        write_onnx(traced, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []

"""A toy network as a file of every format: complete, atomic, equal to the SavedModel, verified."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.export.export import (
    ExportOptions,
    export_model,
    exported_file,
    load_export,
    verify_export,
)
from kmax_tf.export.network_file import FORMATS, load_network_file, write_network_file
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image

IMAGES = [toy_image(33, 65), toy_image(40, 30, 1)]
INSTALLED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name == "onnx"
            and not all(importlib.util.find_spec(each) for each in ("tf2onnx", "onnxruntime")),
            reason="the extra [onnx] is not installed",
        ),
    )
    for name in FORMATS
]


def options_for(file_format: str) -> ExportOptions:
    return ExportOptions("toy", ("panoptic", "semantic", "scores"), file_format=file_format)


def export(file_format, folder, network=None):
    inference = Inference(network or ToyNetwork(), prepare, SIZE, INFO)
    options = options_for(file_format)
    return export_model(inference, options, export_dir=folder, version=2, images=IMAGES)


@pytest.mark.parametrize("file_format", INSTALLED)
def test_a_file_gives_what_the_saved_model_gives(file_format, tmp_path):
    report = export(file_format, tmp_path)
    assert report.passed
    assert {row.signature for row in report.verification.comparisons} == {file_format}
    assert report.folder == tmp_path / file_format / "2"
    assert exported_file(report.folder, file_format).stat().st_size > 0
    assert load_dataset_info(str(report.folder / "assets" / "labels.json")) == INFO
    assert [each.name for each in report.folder.parent.iterdir()] == ["2"]
    assert os.stat(report.folder).st_mode & 0o055 == 0o055

    saved = export("saved_model", tmp_path).folder
    signature = tf.saved_model.load(str(saved)).signatures["image_tensor"]
    run = load_network_file(file_format, report.folder)
    for seed in range(4):
        image = toy_image(*SIZE, seed)[None]  # Of the network's size: nothing is resized.
        expected = signature(image=tf.constant(image))
        received = run(image.astype(np.float32))
        assert set(received) == set(expected) - {"valid_size", "image_size"}
        for name, value in received.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("file_format", INSTALLED)
def test_other_weights_are_noticed(file_format, tmp_path):
    folder = export(file_format, tmp_path).folder
    other = ToyNetwork()
    other.thresholds.assign([85.0, 100.0])
    inference = Inference(other, prepare, SIZE, INFO)
    loaded = load_export(folder, file_format)
    found = verify_export(loaded, inference, options_for(file_format), IMAGES)
    failed = {row.output for row in found.comparisons if not row.passed}
    assert {"panoptic", "semantic"} <= failed


def test_the_batch_is_one_even_where_any_was_traced_before(tmp_path):
    seen = []

    @tf.function
    def inner(images):
        seen.append(images.shape[0])
        return tf.reduce_max(images, axis=[1, 2, 3])

    inner.get_concrete_function(tf.TensorSpec([None, 3, 4, 3]))
    write_network_file(
        "tflite",
        tmp_path,
        network=lambda images: {"largest": inner(images)},
        input_size=(3, 4),
        half_weights=False,
    )
    assert seen == [None, 1]
    assert not tf.config.functions_run_eagerly()
    image = np.arange(36, dtype=np.float32).reshape(1, 3, 4, 3)
    assert load_network_file("tflite", tmp_path)(image)["largest"] == 35


def test_a_failed_conversion_leaves_nothing(tmp_path):
    toy = ToyNetwork()

    def network(images):
        prediction = toy(images)
        return prediction._replace(segment_score=tf.math.erfinv(prediction.segment_score))

    with pytest.raises(ValueError, match="cannot hold this network"):
        export("tflite", tmp_path, network)
    assert list((tmp_path / "tflite").iterdir()) == []

"""Preprocessing against the reference implementation; model, classes and sizes from one config."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import kmax_tf
from kmax_tf.build.config import load_config
from kmax_tf.build.data import build_dataset
from kmax_tf.build.inference import build_inference, build_prepare
from kmax_tf.build.model import build_model
from kmax_tf.finite import NonFinitePredictionError
from protos import data_pb2
from tests import tiny


@pytest.mark.parametrize("case", ["eval_upscale", "eval_downscale", "eval_pad_only"])
def test_preprocessing_equals_the_reference(golden, case):
    arrays = np.load(golden / "predictor" / "prepare.npz")
    expected = arrays[f"{case}/processed_image"]
    options = data_pb2.DatasetOptions(crop_size=expected.shape[:2])
    if case == "eval_pad_only":
        options.min_resize_value.append(0)
        options.max_resize_value.append(0)
    prepared, valid_size = build_prepare(options)(tf.constant(arrays[f"{case}/image"]))
    np.testing.assert_allclose(prepared, expected, atol=1e-2)
    np.testing.assert_array_equal(valid_size, arrays[f"{case}/resized"])


def test_preprocessing_is_that_of_the_evaluation_data(tmp_path):
    records = tiny.write_records(tmp_path, [(129, 129), (40, 60), (65, 65)])
    config = load_config(tiny.CONFIG, [f"KMAX_DATA={tmp_path}"])
    prepare = tf.function(build_prepare(config.eval_dataset_options))
    dataset = build_dataset(config.eval_dataset_options, training=False, batch_size=1)
    for image, (features, targets, _) in zip(records.images, dataset):
        prepared, valid_size = prepare(tf.constant(image))
        np.testing.assert_array_equal(prepared, features["image"][0])
        np.testing.assert_array_equal(valid_size, targets["valid_size"][0])


def test_checkpoint_classes_and_sizes(tmp_path, caplog):
    caplog.set_level("INFO", logger="kmax_tf")
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    prefix = tiny.write_checkpoint(tmp_path)
    inference = build_inference(config, checkpoint=prefix)
    assert f"variables from {prefix} (checkpoint of kmax_tf" in caplog.text
    assert inference.input_size == (65, 65)
    assert inference.info.name == "shapes"
    images = tf.random.stateless_uniform([2, 65, 65, 3], [1, 2], maxval=255.0)
    loaded = inference.network(images)
    assert loaded.panoptic.shape == (2, 65, 65)
    random = build_inference(config, model=build_model(config)).network(images)
    assert not np.array_equal(loaded.semantic, random.semantic)


def test_a_missing_checkpoint_is_one_sentence():
    config = load_config(tiny.CONFIG)
    with pytest.raises(ValueError, match="There is no checkpoint none"):
        build_inference(config, checkpoint="none")


def test_weights_that_are_not_finite_are_refused():
    config = load_config(tiny.CONFIG)
    model = build_model(config)
    for variable in model.trainable_variables:
        variable.assign(tf.fill(variable.shape, np.nan))
    images = tf.random.stateless_uniform([1, 65, 65, 3], [1, 2], maxval=255.0)
    assert np.isnan(build_inference(config, model=model).network(images).segment_score).all()
    with pytest.raises(NonFinitePredictionError, match=r"logits are not finite.*image: image"):
        kmax_tf.Predictor(config, model=model)(np.zeros((20, 40, 3), np.uint8))

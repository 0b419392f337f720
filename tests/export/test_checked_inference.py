from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import kmax_tf
from kmax_tf.build.config import load_config
from kmax_tf.build.inference import build_inference
from kmax_tf.build.model import build_model
from kmax_tf.export.checked_inference import build_checked_inference
from kmax_tf.export.verify import verify_saved_model
from kmax_tf.finite import NonFinitePredictionError
from tests import tiny


def test_sound_weights_give_the_same_and_nan_weights_are_refused(tmp_path):
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    model = build_model(config)
    kmax_tf.load_checkpoint(model, tiny.write_checkpoint(tmp_path))
    images = tf.random.stateless_uniform([1, 65, 65, 3], [1, 2], maxval=255.0)
    checked = build_checked_inference(config, model=model)
    for one, other in zip(
        checked.network(images), build_inference(config, model=model).network(images)
    ):
        np.testing.assert_array_equal(one, other)

    for variable in model.trainable_variables:
        variable.assign(tf.fill(variable.shape, np.nan))
    assert np.isnan(checked.network(images).segment_score).all()
    image = np.zeros((20, 40, 3), np.uint8)
    with pytest.raises(NonFinitePredictionError, match=r"logits are not finite.*image: image"):
        kmax_tf.Predictor(config, model=model)(image)


def test_a_missing_checkpoint_is_one_sentence():
    with pytest.raises(ValueError, match="There is no checkpoint none"):
        build_checked_inference(load_config(tiny.CONFIG), checkpoint="none")


def test_nothing_can_be_verified_against_nan(tmp_path, monkeypatch):
    from tests.export.toy import ToyNetwork, prepare, toy_image

    monkeypatch.setattr(tf.saved_model, "load", lambda folder: tf.Module())
    monkeypatch.setattr(tf.Module, "signatures", None, raising=False)

    def network(images):
        prediction = ToyNetwork()(images)
        return prediction._replace(segment_score=prediction.segment_score * np.nan)

    with pytest.raises(NonFinitePredictionError, match="a drawn one"):
        verify_saved_model(tmp_path, network=network, prepare=prepare, images=[toy_image(33, 65)])

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from tests.testing import random_tensor, wake_residuals

IMAGES = 127.5 + 50.0 * random_tensor(2, 65, 65, 3)


@pytest.fixture(scope="module")
def model() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    model = build_model(load_config("configs/test/tiny.textproto"))
    wake_residuals(model)
    return model


def shapes(tensors):
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(tensors)]


def test_inference(model):
    output = model(IMAGES)
    assert shapes(output.final) == [(2, 8, 11), (2, 17, 17, 8), (2, 17, 17, 8)]
    assert output.auxiliary == ()
    assert output.semantic_logits is None
    assert output.cluster_assignment == ()


def test_training(model):
    statistics = [v.numpy() for v in model.non_trainable_variables]
    with tf.GradientTape() as tape:
        output = model(IMAGES, training=True, return_cluster_assignment=True)
        logits = [output.semantic_logits]
        for prediction in (output.final, *output.auxiliary):
            logits += prediction
        loss = tf.add_n([tf.reduce_mean(value**2) for value in logits])
    assert [shapes(prediction) for prediction in output.auxiliary] == [shapes(output.final)] * 3
    assert output.semantic_logits.shape == (2, 17, 17, 11)
    assert shapes(output.cluster_assignment) == [(2, 3, 3), (2, 5, 5), (2, 9, 9)]
    assert all(value.dtype == tf.float32 for value in logits)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables)
    ):
        assert isinstance(gradient, tf.Tensor), variable.name
        assert np.isfinite(gradient).all(), variable.name
    for before, variable in zip(statistics, model.non_trainable_variables):
        # A mean may stay 0: masks of the first layer are products with zero-mean embeddings.
        moved = not np.array_equal(before, variable)
        assert moved or "moving_mean" in variable.name, variable.name


def test_extra_outputs_do_not_change_the_prediction(model):
    plain = model(IMAGES).final
    full = model(IMAGES, with_semantic=True, with_auxiliary=True, return_cluster_assignment=True)
    for left, right in zip(plain, full.final):
        np.testing.assert_array_equal(left, right)
    assert len(full.auxiliary) == len(full.cluster_assignment) == 3


def test_auxiliary_masks_are_resized_with_aligned_corners(model):
    output = model(IMAGES, with_auxiliary=True, return_cluster_assignment=True)
    for prediction, assignment in zip(output.auxiliary, output.cluster_assignment):
        step = 16 // (assignment.shape[1] - 1)
        at_own_stride = prediction.mask_logits[:, ::step, ::step]
        np.testing.assert_array_equal(np.argmax(at_own_stride, -1), assignment)


def test_dynamic_sizes_and_xla(model):
    expected = model(IMAGES).final
    dynamic = tf.function(
        lambda images: model(images).final,
        input_signature=[tf.TensorSpec([None, None, None, 3])],
        autograph=False,
    )
    compiled = tf.function(lambda images: model(images).final, jit_compile=True, autograph=False)
    for function in (dynamic, compiled):
        for left, right in zip(function(IMAGES), expected):
            np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-2)
    assert dynamic(IMAGES[:1, :50, :38]).mask_logits.shape == (1, 13, 10, 8)


def test_checkpoint_round_trip(model, tmp_path):
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    other = build_model(load_config("configs/test/tiny.textproto"))
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    for left, right in zip(other(IMAGES).final, model(IMAGES).final):
        np.testing.assert_array_equal(left, right)


def test_names_select_what_is_decayed(model):
    for variable in model.trainable_variables:
        leaf = variable.name.split("/")[-1]
        decays = leaf.endswith("kernel:0")
        assert decays or leaf in {
            "bias:0",
            "gamma:0",
            "beta:0",
            "embeddings:0",
            "cluster_centers:0",
        }


def test_parts_hold_all_variables(model):
    parts = (
        model.pixel_encoder,
        model.pixel_decoder,
        model.transformer_decoder,
        model.mask_head,
        model.semantic_head,
    )
    counted = [id(v) for part in parts for v in part.trainable_variables]
    assert sorted(counted) == sorted(id(v) for v in model.trainable_variables)

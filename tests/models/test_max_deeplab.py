from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.model import build_model
from kmax_tf.layers.norm import BatchNorm
from tests.golden import max_deeplab
from tests.testing import random_tensor

IMAGES = 127.5 + 50.0 * random_tensor(2, 49, 65, 3)
VARIANTS = ("max_deeplab_s", "max_deeplab_l")


def make(variant: str, *overrides: str) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    model = build_model(max_deeplab.tiny_config(variant, overrides))
    for part in model.submodules:
        if isinstance(part, BatchNorm) and part.initial_gamma == 0.0:
            # So that no branch is silent; more would make deep networks chaotic.
            part.gamma.assign(tf.fill(part.gamma.shape, 0.2))
    return model


@pytest.fixture(scope="module")
def models():
    return {variant: make(variant) for variant in VARIANTS}


def shapes(tensors):
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(tensors)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_inference(models, variant):
    output = models[variant](IMAGES, return_cluster_assignment=True, with_auxiliary=True)
    assert shapes(output.final) == [(2, 8, 11), (2, 13, 17, 8), (2, 13, 17, 8)]
    assert output.auxiliary == ()
    assert output.cluster_assignment == ()
    assert output.semantic_logits is None
    with_semantic = models[variant](IMAGES, with_semantic=True)
    assert with_semantic.semantic_logits.shape == (2, 13, 17, 11)
    for left, right in zip(output.final, with_semantic.final):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training(precision):
    model = make("max_deeplab_s", f"trainer_options.precision={precision}")
    statistics = [v.numpy() for v in model.non_trainable_variables]
    with tf.GradientTape() as tape:
        output = model(IMAGES, training=True)
        logits = [*output.final, output.semantic_logits]
        loss = tf.add_n([tf.reduce_mean(value**2) for value in logits])
    assert all(value.dtype == tf.float32 for value in logits)
    assert {v.dtype for v in model.variables} == {tf.float32}
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert isinstance(gradient, tf.Tensor), variable.name
        assert np.isfinite(gradient).all(), variable.name
    for before, variable in zip(statistics, model.non_trainable_variables):
        assert not np.array_equal(before, variable), variable.name


def test_large_variant_has_gradients_everywhere(models):
    model = models["max_deeplab_l"]
    with tf.GradientTape() as tape:
        output = model(IMAGES, training=True)
        logits = [*output.final, output.semantic_logits]
        loss = tf.add_n([tf.reduce_mean(value**2) for value in logits])
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables)
    ):
        assert isinstance(gradient, tf.Tensor), variable.name
        assert np.isfinite(gradient).all(), variable.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_dynamic_sizes(models, variant):
    model = models[variant]
    dynamic = tf.function(
        lambda images: model(images, with_semantic=True),
        input_signature=[tf.TensorSpec([None, None, None, 3])],
        autograph=False,
    )
    for images in (IMAGES, IMAGES[:1, :46, :38]):  # Of no form 16 k + 1, too.
        expected = model(images, with_semantic=True)
        output = dynamic(images)
        for left, right in zip(output.final, expected.final):
            np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            output.semantic_logits, expected.semantic_logits, rtol=1e-3, atol=1e-3
        )


def test_semantic_branch_reads_the_activated_stage(models):
    for variant, stage in (("max_deeplab_s", "stage5"), ("max_deeplab_l", "decoder_stage6_extra")):
        model = models[variant]
        thread = model.dual_path.start(2)
        pyramid = model.pixel_encoder(IMAGES / 127.5 - 1.0, after_block=thread)
        pyramid = model.dual_path(pyramid, thread).pyramid
        expected = model.semantic_head({**pyramid, "stage5": tf.nn.relu(pyramid[stage])})
        output = model(IMAGES, with_semantic=True).semantic_logits
        np.testing.assert_allclose(output, expected, atol=1e-4)
        assert model.dual_path.options.size.semantic_stage == stage


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_hold_all_variables(models, variant):
    model = models[variant]
    parts = (model.pixel_encoder, model.dual_path, model.mask_head, model.semantic_head)
    counted = [id(v) for part in parts for v in part.trainable_variables]
    assert sorted(counted) == sorted(id(v) for v in model.trainable_variables)


def test_names_select_what_is_decayed(models):
    leaves = {v.name.split("/")[-1] for v in models["max_deeplab_s"].trainable_variables}
    kernels = {"kernel:0", "depthwise_kernel:0", "qkv_kernel:0"}
    assert leaves == kernels | {"bias:0", "gamma:0", "beta:0", "embeddings:0", "memory:0"}


def test_checkpoint_round_trip(models, tmp_path):
    model = models["max_deeplab_s"]
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    other = make("max_deeplab_s")
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    for left, right in zip(other(IMAGES).final, model(IMAGES).final):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_xla(models):
    model = models["max_deeplab_s"]
    compiled = tf.function(lambda images: model(images).final, jit_compile=True, autograph=False)
    for left, right in zip(compiled(IMAGES), model(IMAGES).final):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)

"""Full-size network with weights from a rule against the reference implementation."""

from __future__ import annotations

from typing import Dict

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from kmax_tf.structures import ModelOutput
from tests.golden import kmax_r50


@pytest.fixture(scope="module")
def model() -> tf.keras.Model:
    config = load_config(
        "configs/coco/kmax_r50.textproto",
        ["model_options.kmax_transformer_decoder.drop_path_keep_prob=1.0"],
    )
    model = build_model(config)
    kmax_r50.fill_variables(model)
    return model


@pytest.fixture(scope="module")
def arrays() -> Dict[str, np.ndarray]:
    return kmax_r50.arrays()


def by_name(output: ModelOutput) -> Dict[str, tf.Tensor]:
    return {
        "pixel_space_mask_logits": output.final.mask_logits[:, ::4, ::4],
        "pixel_space_normalized_feature": output.final.pixel_embedding[:, ::4, ::4],
        "transformer_class_logits": output.final.class_logits[:, ::4],
        "semantic_logits": output.semantic_logits[:, ::4, ::4],
    }


def relative_error(actual: tf.Tensor, expected: np.ndarray) -> float:
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("case", ["infer_65x65", "infer_97x129"])
def test_inference(model, arrays, case):
    image = tf.cast(arrays[f"{case}/image"], tf.float32)

    output = model(image, with_semantic=True, return_cluster_assignment=True)

    assert output.auxiliary == ()
    for name, value in by_name(output).items():
        assert relative_error(value, arrays[f"{case}/out/{name}/every4"]) < 1e-5, name
    for i, assignment in enumerate(output.cluster_assignment):
        np.testing.assert_array_equal(assignment, arrays[f"{case}/kmax_{i}/cluster_assignment"])


def test_intermediate_features(model, arrays):
    case = "infer_65x65"
    image = tf.cast(arrays[f"{case}/image"], tf.float32)
    pyramid = model.pixel_encoder(image / 127.5 - 1.0)
    pixel_features = model.pixel_decoder(pyramid)
    features = {f"encoder/{name}": feature for name, feature in pyramid.items()}
    for i, stride in enumerate((32, 16, 8)):
        features[f"pixel_decoder/decoder_stage{i + 1}"] = pixel_features.stages[f"stride{stride}"]
    features["pixel_decoder/decoder_output"] = pixel_features.per_pixel
    for name, feature in features.items():
        head, tail = feature[:, :4, :4, :16], feature[:, -2:, -2:, -16:]
        assert relative_error(head, arrays[f"{case}/{name}/head"]) < 1e-5, name
        assert relative_error(tail, arrays[f"{case}/{name}/tail"]) < 1e-5, name
    centers = model.transformer_decoder.cluster_centers
    stages = ["stride32"] * 2 + ["stride16"] * 2 + ["stride8"] * 2
    for i, (stage, block) in enumerate(zip(stages, model.transformer_decoder.blocks)):
        centers = block(centers, pixel_features.stages[stage]).centers
        expected = arrays[f"{case}/kmax_{i}/cluster_centers_every4"]
        assert relative_error(centers[:, ::4, ::4], expected) < 1e-5, i


def test_training(model, arrays):
    case = "train_2x65x65"
    kmax_r50.fill_variables(model, damp_residuals=True)
    model.semantic_head.decoder.aspp.dropout_rate = 0.0
    variables = {deeplab2_name(p): v for p, v in variables_by_path(model).items()}
    before = {key: v.numpy() for key, v in variables.items() if not v.trainable}
    image = tf.cast(arrays[f"{case}/image"], tf.float32)

    with tf.GradientTape() as tape:
        output = model(image, training=True, return_cluster_assignment=True)
        finals = (output.final.mask_logits, output.final.class_logits, output.semantic_logits)
        loss = tf.add_n([tf.reduce_mean(tf.square(logits)) for logits in finals])
        for auxiliary in output.auxiliary:
            loss += tf.reduce_mean(tf.square(auxiliary.mask_logits))
            loss += tf.reduce_mean(tf.square(auxiliary.class_logits))
    names = list(kmax_r50.manifest())
    trained = [names[i] for i in arrays[f"{case}/grad_keys"]]
    gradients = tape.gradient(loss, [variables[key] for key in trained])

    np.testing.assert_allclose(loss, arrays[f"{case}/grad_loss"], rtol=1e-5)
    for name, value in by_name(output).items():
        assert relative_error(value, arrays[f"{case}/out/{name}/every4"]) < 1e-4, name
    for i, assignment in enumerate(output.cluster_assignment):
        expected = arrays[f"{case}/aux_{i}/cluster_assignment"]
        assert np.mean(assignment == expected) >= 0.99, i
    for i in (0, 5):
        auxiliary = output._replace(final=output.auxiliary[i])
        for name, value in by_name(auxiliary).items():
            if name != "semantic_logits":
                expected = arrays[f"{case}/aux_{i}/{name}/every4"]
                assert relative_error(value, expected) < 1e-4, (i, name)
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    np.testing.assert_allclose(norms, arrays[f"{case}/grad_l2"], rtol=1e-3, atol=1e-6)
    changes = [
        np.linalg.norm(variables[key].numpy() - before[key])
        for key in (names[i] for i in arrays[f"{case}/moving_keys"])
    ]
    np.testing.assert_allclose(changes, arrays[f"{case}/moving_delta_l2"], rtol=1e-3, atol=1e-6)

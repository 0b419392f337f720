from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.heads.mask_prediction import MaskHeadSettings
from kmax_tf.transformer_decoders.kmax_block import KMaxBlock, KMaxBlockSettings
from tests.testing import NORM, random_tensor, run_layer_test, wake_residuals

CONFIG = {
    "settings": KMaxBlockSettings(
        width=8, num_heads=2, key_width=4, feed_forward_width=12, drop_path_keep_prob=1.0
    ),
    "mask_head": MaskHeadSettings(4, 6, 5, 0.1),
    "norm": NORM,
}
CENTERS, PIXELS = random_tensor(2, 7, 8), random_tensor(2, 3, 4, 6)
PREDICTION = [(2, 7, 4), (2, 3, 4, 7), (2, 3, 4, 5)]


def test_block():
    run_layer_test(
        KMaxBlock,
        CONFIG,
        [CENTERS, PIXELS],
        call={"with_prediction": True},
        expected_shapes=[(2, 7, 8), *PREDICTION, (2, 3, 4)],
        # Eight 1-D convolutions, the attentions, the predictor.
        expected_weights=8 * 5 + 4 + 8 + 27,
    )


def test_fresh_block_activates_the_centers_twice():
    block = KMaxBlock(**CONFIG)
    output = block(CENTERS, PIXELS)
    np.testing.assert_allclose(output.centers, tf.nn.gelu(tf.nn.gelu(CENTERS)), atol=1e-6)
    assert output.prediction is None


def test_assignment_is_that_of_the_prediction():
    block = KMaxBlock(**CONFIG)
    block(CENTERS, PIXELS, with_prediction=True)
    wake_residuals(block)
    full = block(CENTERS, PIXELS, with_prediction=True)
    quick = block(CENTERS, PIXELS)
    np.testing.assert_array_equal(full.assignment, np.argmax(full.prediction.mask_logits, -1))
    np.testing.assert_array_equal(full.assignment, quick.assignment)
    np.testing.assert_array_equal(full.centers, quick.centers)


def test_centers_do_not_train_the_predictor():
    block = KMaxBlock(**CONFIG)
    block(CENTERS, PIXELS, with_prediction=True)
    wake_residuals(block)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(CENTERS, PIXELS, training=True).centers ** 2)
    predictor = {id(variable) for variable in block.predictor.trainable_variables}
    gradients = tape.gradient(loss, block.trainable_variables)
    for variable, gradient in zip(block.trainable_variables, gradients):
        assert (gradient is None) == (id(variable) in predictor), variable.name


def test_drop_path_can_drop_all_branches():
    settings = CONFIG["settings"]._replace(drop_path_keep_prob=1e-6)
    block = KMaxBlock(**{**CONFIG, "settings": settings})
    block(CENTERS, PIXELS)
    wake_residuals(block)
    centers = block(CENTERS, PIXELS, training=True).centers
    np.testing.assert_allclose(centers, tf.nn.gelu(tf.nn.gelu(CENTERS)), atol=1e-6)

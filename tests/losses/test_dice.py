from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.losses.dice import dice_loss, mask_dice_loss


def test_dice_is_smoothed_by_one():
    loss = dice_loss(tf.constant([4.0, 0.0]), tf.constant([4.0, 3.0]), tf.constant([4.0, 5.0]))
    np.testing.assert_allclose(loss, [0.0, 1.0 - 1.0 / 9.0], rtol=1e-6)


def test_sum_is_weighted_and_divided_by_slots():
    losses = tf.constant([[[0.5, 0.25, 9.0]]])
    loss = mask_dice_loss(
        losses, tf.constant([[True, True, False]]), tf.constant([[0.8, 0.0, 0.0]]), 10
    )
    np.testing.assert_allclose(loss, [[0.075 * (0.5 * 0.8 + 0.25 * 1e-5)]], rtol=1e-6)

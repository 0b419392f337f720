from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.losses.mask_id import mask_id_loss


def test_mean_over_pixels_that_have_a_slot():
    log_probability = tf.math.log(tf.constant([[[0.5, 1.0, 0.25, 0.1]]]))
    np.testing.assert_allclose(
        mask_id_loss(log_probability, 1.0), [[np.log(2 * 4 * 10) / 3]], rtol=1e-6
    )
    np.testing.assert_allclose(mask_id_loss(log_probability, 0.25), [[np.log(10)]], rtol=1e-6)

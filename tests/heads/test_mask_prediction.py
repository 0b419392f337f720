from __future__ import annotations

import numpy as np

from kmax_tf.heads.mask_prediction import MaskHead, MaskHeadSettings
from tests.testing import NORM, random_tensor, run_layer_test

SETTINGS = MaskHeadSettings(
    num_outputs=4, head_channels=6, embedding_channels=5, mask_logit_gamma=0.1
)
INPUTS = [random_tensor(2, 3, 4, 8), random_tensor(2, 7, 6), random_tensor(2, 7, 6, seed=1)]


def test_head():
    head = run_layer_test(
        MaskHead,
        {"settings": SETTINGS, "norm": NORM},
        INPUTS,
        expected_shapes=[(2, 7, 4), (2, 3, 4, 7), (2, 3, 4, 5)],
        expected_weights=10 + 2 + 4 + 5 + 4 + 2,
    )
    assert head.mask_norm.gamma.shape == (1,)


def test_logits_are_products_of_embeddings():
    head = MaskHead(SETTINGS, norm=NORM)
    prediction = head(*INPUTS)
    np.testing.assert_array_equal(head.mask_norm.gamma, np.float32([0.1]))
    embedding = prediction.pixel_embedding.numpy()
    np.testing.assert_allclose((embedding**2).sum(-1), 1.0, rtol=1e-5)
    masks = head.mask_projection(INPUTS[1]).numpy()
    products = np.einsum("bhwd,bqd->bhwq", embedding, masks)
    expected = 0.1 * products / np.sqrt(1.0 + NORM.epsilon)
    np.testing.assert_allclose(prediction.mask_logits, expected, atol=1e-5)
    masks_alone, _ = head.predict_masks(*INPUTS[:2])
    np.testing.assert_array_equal(masks_alone, prediction.mask_logits)


def test_void_starts_with_a_probability_of_nine_tenths():
    head = MaskHead(SETTINGS, norm=NORM)
    head(*INPUTS)
    head.class_projection.kernel.assign(0.0 * head.class_projection.kernel)
    logits = head(*INPUTS).class_logits.numpy()
    np.testing.assert_allclose(logits[..., :3], 0.0)
    np.testing.assert_allclose(logits[..., 3], np.log(3 * 0.9 / 0.1), rtol=1e-6)
    coco = MaskHead(SETTINGS._replace(num_outputs=134), norm=NORM)
    bias = coco(*INPUTS).class_logits - coco.class_projection(INPUTS[2])
    np.testing.assert_allclose(bias[..., -1], 7.087574, rtol=1e-6)

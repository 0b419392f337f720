"""The choice of outputs, and that logits are computed only where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.export.outputs import CHOICES, DEFAULT_CHOICES, ROWS, served_network
from kmax_tf.structures import MaskPrediction
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare

IMAGES = tf.zeros([2, *SIZE, 3])


@pytest.fixture
def inference() -> Inference:
    network = ToyNetwork()

    def with_logits(images):
        masks = MaskPrediction(tf.ones([2, 3, 4]), tf.ones([2, 9, 17, 3]))
        return network(images), masks

    return Inference(network, prepare, SIZE, INFO, network_with_logits=with_logits)


def test_rows_are_always_returned(inference):
    for choice, outputs in CHOICES.items():
        assert set(served_network(inference, [choice])(IMAGES)) == {*ROWS, *outputs}
    assert set(served_network(inference)(IMAGES)) == {*ROWS, *DEFAULT_CHOICES}


def test_logits_are_those_of_the_model(inference):
    outputs = served_network(inference, ["mask_logits"])(IMAGES)
    np.testing.assert_array_equal(outputs["mask_logits"], np.ones([2, 9, 17, 3]))
    np.testing.assert_array_equal(outputs["class_logits"], np.ones([2, 3, 4]))
    without = inference._replace(network_with_logits=None)
    assert "panoptic" in served_network(without)(IMAGES)  # Not called.


@pytest.mark.parametrize(("choices", "named"), [(["boxes"], "'boxes'"), ([], "none")])
def test_an_unknown_choice_is_named(inference, choices, named):
    with pytest.raises(ValueError, match=f"panoptic, semantic, scores, mask_logits.* {named}"):
        served_network(inference, choices)

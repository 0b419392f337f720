from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import photometric


@pytest.fixture
def colour_ops(golden):
    folder = golden / "data"
    return json.loads((folder / "colour_ops.json").read_text()), np.load(folder / "colour_ops.npz")


@pytest.mark.parametrize("operation", sorted(photometric.OPERATIONS))
def test_operation_golden(colour_ops, operation):
    description, arrays = colour_ops
    checked = 0
    for name, case in description["cases"].items():
        if case["op"].lower() != operation:
            continue
        result = photometric.OPERATIONS[operation](
            tf.constant(arrays[f"image/{case['image']}"]), case["level"]
        )
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, arrays[name], err_msg=name)
        checked += 1
    assert checked


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("simple_classification_policy", 1.0),
        ("simple_classification_policy_magnitude_scale_0.2", 0.2),
    ],
)
def test_policy_table_golden(colour_ops, name, scale):
    expected = colour_ops[0]["policies"][name]
    policy = photometric.scaled_policy(scale)
    assert len(policy) == len(expected)
    for pair, expected_pair in zip(policy, expected):
        for operation, wanted in zip(pair, expected_pair):
            assert operation.name == wanted["op"].lower()
            assert operation.probability == wanted["probability"]
            assert operation.level == pytest.approx(wanted["level"])


def test_policy_draws(colour_ops):
    """Which pair and which of its two operations: decided by three numbers."""
    image = colour_ops[1]["image/natural"]
    policy = photometric.SIMPLE_CLASSIFICATION

    @tf.function
    def apply(uniforms):
        return photometric.apply_policy(tf.constant(image, tf.float32) + 0.75, policy, uniforms)

    def expect(uniforms, expected):
        np.testing.assert_array_equal(apply(tf.constant(uniforms, tf.float32)), expected)

    pixels = tf.constant(image)
    expect([0.1, 0.5, 0.7], image)  # nothing fires, yet the fraction is cut off
    expect([0.1, 0.7, 0.7], photometric.sharpness(pixels, 7))
    expect([0.1, 0.5, 0.9], photometric.brightness(pixels, 10))
    expect([0.3, 0.99, 0.9], photometric.contrast(pixels, 10))  # its first never fires
    both = photometric.equalize(photometric.solarize(pixels, 7), 9)
    expect([0.7, 0.9, 0.5], both)


@pytest.mark.parametrize("size", [(5, 2), (1, 7), (2, 2)])
def test_sharpness_leaves_tiny_images(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(photometric.sharpness(tf.constant(image), 7), image)
    signature = [tf.TensorSpec([None, None, 3], tf.uint8)]
    traced = tf.function(lambda p: photometric.sharpness(p, 7), input_signature=signature)
    np.testing.assert_array_equal(traced(tf.constant(image)), image)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.pixel_encoders.convnext import ConvNeXt, ConvNeXtDownsampler, ConvNeXtStem
from kmax_tf.pixel_encoders.variants import CONVNEXT_SIZES
from tests.testing import random_tensor, run_layer_test

CONFIG = {"depths": (1, 1, 2, 1), "widths": (4, 5, 6, 7), "drop_path_keep_prob": 0.6}
STRIDES = {"stage1": 4, "stage2": 4, "stage3": 8, "stage4": 16, "stage5": 32}


@pytest.mark.parametrize("size", [(33, 65), (40, 32), (30, 51)])
def test_pyramid(size):
    shapes = [
        (2, -(-size[0] // stride), -(-size[1] // stride), channels)
        for stride, channels in zip(STRIDES.values(), (4, 4, 5, 6, 7))
    ]
    encoder = run_layer_test(
        ConvNeXt,
        CONFIG,
        [random_tensor(2, *size, 3)],
        expected_shapes=shapes,
        expected_weights=4 * 4 + 5 * 9,
    )
    assert encoder.strides == STRIDES
    assert list(encoder.channels.values()) == [shape[-1] for shape in shapes]
    assert encoder.activation == "gelu"


def test_sizes_may_be_dynamic():
    encoder = ConvNeXt(**CONFIG)
    traced = tf.function(
        encoder.call, input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False
    )
    for size in ((40, 33), (64, 32)):
        images = random_tensor(2, *size, 3)
        expected = encoder(images)
        for name, feature in traced(images).items():
            np.testing.assert_allclose(feature, expected[name], rtol=1e-4, atol=1e-5)


def test_drop_path_grows_linearly_over_all_blocks():
    encoder = ConvNeXt(**CONFIG)
    keep = [block.drop_path.keep_prob for blocks in encoder.stages for block in blocks]
    assert keep == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])
    tiny = ConvNeXt(**CONVNEXT_SIZES["convnext_tiny"]._asdict(), drop_path_keep_prob=0.7)
    assert [len(blocks) for blocks in tiny.stages] == [3, 3, 9, 3]
    assert list(tiny.channels.values()) == [96, 96, 192, 384, 768]
    assert tiny.stages[0][0].drop_path.keep_prob == 1.0
    assert tiny.stages[3][2].drop_path.keep_prob == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("convnext_tiny", 28589128 - 1000 * (768 + 1) - 2 * 768),
        ("convnext_small", 50223688 - 1000 * (768 + 1) - 2 * 768),
        ("convnext_base", 88591464 - 1000 * (1024 + 1) - 2 * 1024),
        ("convnext_large", 197767336 - 1000 * (1536 + 1) - 2 * 1536),
        ("convnext_xlarge", 350196968 - 1000 * (2048 + 1) - 2 * 2048),
    ],
)
def test_published_sizes(name, parameters):
    """The publication counts a classifier of 1000 classes and the norm before it."""
    with tf.Graph().as_default():  # Without memory for the variables.
        encoder = ConvNeXt(**CONVNEXT_SIZES[name]._asdict(), drop_path_keep_prob=1.0)
        encoder(tf.zeros([1, 33, 33, 3]))
    assert sum(np.prod(variable.shape) for variable in encoder.trainable_weights) == parameters


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="`widths` needs 4 entries"):
        ConvNeXt(**{**CONFIG, "widths": (4, 4)})


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # Sums of windows of four pixels, the first of which is padding.
        (8, [0 + 1 + 2, 3 + 4 + 5 + 6]),
        (6, [0 + 1 + 2, 3 + 4 + 5]),
        (5, [0 + 1 + 2, 3 + 4]),
        (4, [0 + 1 + 2]),
    ],
)
def test_stem_pads_one_pixel_before_and_two_after(size, expected):
    stem = run_layer_test(
        ConvNeXtStem,
        {"channels": 5},
        [random_tensor(2, size, 7, 3)],
        expected_shapes=[(2, -(-size // 4), 2, 5)],
        expected_weights=4,
        has_training=False,
    )
    stem.conv.kernel.assign(tf.ones_like(stem.conv.kernel))
    stem.conv.bias.assign(tf.zeros_like(stem.conv.bias))
    rows = np.zeros([1, size, 1, 3], np.float32)
    rows[0, :, 0, 0] = np.arange(size)
    np.testing.assert_allclose(stem.conv(rows)[0, :, 0, 0], expected)


@pytest.mark.parametrize("shape", [(5, 4), (4, 5), (3, 3), (6, 2)])
def test_padding_of_an_odd_side_becomes_beta(shape):
    """The norm of a row of zeros is `beta`; a zero would be wrong."""
    inputs = random_tensor(1, *shape, 4)
    downsampler = run_layer_test(
        ConvNeXtDownsampler,
        {"channels": 3},
        [inputs],
        expected_shapes=[(1, -(-shape[0] // 2), -(-shape[1] // 2), 3)],
        expected_weights=4,
        has_training=False,
    )
    beta = np.asarray([0.5, -1.0, 2.0, 3.0], np.float32)
    downsampler.norm.beta.assign(beta)
    kernel = np.asarray(random_tensor(2, 2, 4, 3, seed=1))
    downsampler.conv.kernel.assign(kernel)
    padded = np.broadcast_to(beta, [shape[0] + 1, shape[1] + 1, 4]).copy()
    padded[:-1, :-1] = downsampler.norm(inputs)[0]
    outputs = downsampler(inputs)[0]
    for row in range(outputs.shape[0]):
        for column in range(outputs.shape[1]):
            window = padded[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            expected = np.tensordot(window, kernel, 3) + downsampler.conv.bias
            np.testing.assert_allclose(outputs[row, column], expected, rtol=1e-4, atol=1e-5)

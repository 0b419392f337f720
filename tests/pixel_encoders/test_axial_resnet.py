from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.pixel_encoders.axial_blocks import AxialBlock
from kmax_tf.pixel_encoders.axial_resnet import AxialResNet, ThreeConvStem
from kmax_tf.pixel_encoders.resnet_blocks import BottleneckBlock
from kmax_tf.pixel_encoders.variants import AXIAL_RESNET_SIZES
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {
    "depths": (1, 1, 3, 2),
    "widths": (2, 3, 4, 6),
    "stem_width": 3,
    "num_heads": 2,
    "drop_path_keep_prob": 0.8,
    "norm": NORM,
}


def pyramid_shapes(size, strides):
    return [
        (2, -(-size[0] // stride), -(-size[1] // stride), channels)
        for stride, channels in zip(strides, (6, 8, 12, 16, 24))
    ]


@pytest.mark.parametrize(
    ("size", "output_stride", "activation"),
    [((33, 65), 32, "gelu"), ((40, 32), 32, "gelu"), ((33, 40), 16, "relu")],
)
def test_pyramid(size, output_stride, activation):
    strides = (2, 4, 8, 16, output_stride)
    shapes = pyramid_shapes(size, strides)
    encoder = run_layer_test(
        AxialResNet,
        {**CONFIG, "output_stride": output_stride, "activation": activation},
        [random_tensor(2, *size, 3)],
        expected_shapes=shapes,
        # Stem; three bottlenecks with a shortcut; four axial blocks of 42, one with a shortcut.
        expected_weights=15 + 3 * 20 + 4 * 42 + 5,
    )
    assert tuple(encoder.strides.values()) == strides
    assert list(encoder.channels.values()) == [shape[-1] for shape in shapes]
    assert encoder.activation == activation


@pytest.mark.parametrize("output_stride", [16, 32])
def test_blocks_attend_and_drop_by_the_nominal_stride_that_they_read(output_stride):
    encoder = AxialResNet(**CONFIG, output_stride=output_stride)
    kinds = [[type(block) for block in blocks] for blocks in encoder.stages]
    assert kinds == [
        [BottleneckBlock],
        [BottleneckBlock],
        [BottleneckBlock, AxialBlock, AxialBlock],
        [AxialBlock, AxialBlock],
    ]
    keep = [[block.drop_path.keep_prob for block in blocks] for blocks in encoder.stages]
    assert keep[0] == keep[1] == [1.0]
    assert keep[2] == pytest.approx([1.0, 0.85, 0.85])
    assert keep[3] == pytest.approx([0.85, 0.8])
    strides = [[block.strides for block in blocks] for blocks in encoder.stages]
    assert strides == [[2], [2], [2, 1, 1], [output_stride // 16, 1]]


def test_sizes_may_be_dynamic():
    encoder = AxialResNet(**CONFIG)
    traced = tf.function(
        encoder.call, input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False
    )
    images = random_tensor(2, 40, 33, 3)
    expected = encoder(images)
    for name, feature in traced(images).items():
        np.testing.assert_allclose(feature, expected[name], rtol=1e-4, atol=1e-5)


def test_published_size():
    encoder = AxialResNet(
        **AXIAL_RESNET_SIZES["axial_resnet_50"]._asdict(), drop_path_keep_prob=1.0, norm=NORM
    )
    assert encoder.channels == {
        "stage1": 128,
        "stage2": 256,
        "stage3": 512,
        "stage4": 1024,
        "stage5": 2048,
    }
    assert [len(blocks) for blocks in encoder.stages] == [3, 4, 6, 3]
    assert {block.num_heads for block in encoder.stages[3]} == {8}


def test_output_stride_is_checked():
    with pytest.raises(ValueError, match="`output_stride` accepts 16 or 32; received 8"):
        AxialResNet(**CONFIG, output_stride=8)


@pytest.mark.parametrize("size", [(8, 9), (7, 8)])
def test_stem(size):
    stem = run_layer_test(
        ThreeConvStem,
        {"width": 3, "activation": "relu", "norm": NORM},
        [random_tensor(2, *size, 3)],
        expected_shapes=[(2, 4, -(-size[1] // 2), 6)],
        expected_weights=15,
    )
    # The next block activates: half of the result is negative.
    assert np.mean(stem(random_tensor(2, *size, 3)) < 0) > 0.2

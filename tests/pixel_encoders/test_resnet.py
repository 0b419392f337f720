from __future__ import annotations

import pytest

from kmax_tf.pixel_encoders.resnet import ResNet
from tests.testing import NORM, random_tensor, run_layer_test

CONFIG = {
    "depths": (1, 1, 3, 2),
    "widths": (2, 3, 4, 5),
    "stem_width": 6,
    "drop_path_keep_prob": 0.8,
    "norm": NORM,
}


@pytest.mark.parametrize("size", [(33, 65), (40, 32)])
def test_pyramid(size):
    shapes = []
    for index, channels in enumerate((6, 8, 12, 16, 20)):
        stride = 2 ** (index + 1)
        shapes.append((2, -(-size[0] // stride), -(-size[1] // stride), channels))
    encoder = run_layer_test(
        ResNet,
        CONFIG,
        [random_tensor(2, *size, 3)],
        expected_shapes=shapes,
        # Stem, four blocks with a shortcut, three without.
        expected_weights=5 + 4 * 20 + 3 * 15,
    )
    assert encoder.strides == {f"stage{i}": 2**i for i in range(1, 6)}
    assert list(encoder.channels.values()) == [shape[-1] for shape in shapes]
    assert encoder.activation == "relu"


def test_drop_path_depends_on_the_stride_that_a_block_reads():
    encoder = ResNet(**CONFIG)
    keep = [[block.drop_path.keep_prob for block in blocks] for blocks in encoder.stages]
    assert keep[0] == keep[1] == [1.0]
    assert keep[2] == pytest.approx([1.0, 0.85, 0.85])
    assert keep[3] == pytest.approx([0.85, 0.8])


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="`depths` needs 4 entries"):
        ResNet(**{**CONFIG, "depths": (1, 1)})

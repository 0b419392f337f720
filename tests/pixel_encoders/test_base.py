from __future__ import annotations

import pytest

from kmax_tf.pixel_encoders.base import PixelEncoder
from kmax_tf.pixel_encoders.resnet import ResNet


def test_contract():
    with pytest.raises(TypeError, match="abstract"):
        PixelEncoder()
    assert issubclass(ResNet, PixelEncoder)

from __future__ import annotations

import pytest

from kmax_tf.pixel_decoders.base import PixelDecoder
from kmax_tf.pixel_decoders.kmax import KMaxPixelDecoder


def test_contract():
    with pytest.raises(TypeError, match="abstract"):
        PixelDecoder()
    assert issubclass(KMaxPixelDecoder, PixelDecoder)

from __future__ import annotations

import pytest

from kmax_tf.transformer_decoders.base import TransformerDecoder
from kmax_tf.transformer_decoders.kmax import KMaxTransformerDecoder


def test_contract():
    with pytest.raises(TypeError, match="abstract"):
        TransformerDecoder()
    assert issubclass(KMaxTransformerDecoder, TransformerDecoder)

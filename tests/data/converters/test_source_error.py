from __future__ import annotations

import pickle

from kmax_tf.data.converters.source_error import SourceError


def test_is_a_sentence_with_a_reason():
    error = SourceError("Image a.jpg cannot be read.", "image cannot be read")
    assert isinstance(error, ValueError)
    assert str(error) == "Image a.jpg cannot be read."
    assert error.reason == "image cannot be read"


def test_comes_whole_out_of_another_process():
    error = pickle.loads(pickle.dumps(SourceError("Image a.jpg is empty.", "empty image")))
    assert (str(error), error.reason) == ("Image a.jpg is empty.", "empty image")

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.finite import NonFinitePredictionError, mark_non_finite, require_finite
from kmax_tf.structures import MaskPrediction, ModelOutput, PanopticPrediction


def _post_process(output, size):
    batch, slots = output.final.class_logits.shape[:2]
    maps, rows = tf.zeros([batch, *size], tf.int32), tf.zeros([batch, slots], tf.int32)
    scores = tf.fill([batch, slots], 0.5)
    return PanopticPrediction(maps, maps, maps, maps, maps, rows, rows, scores)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_only_the_faulty_images_are_marked(bad, dtype):
    classes, masks = np.ones([3, 4, 5]), np.full([3, 6, 7, 4], 6e4)
    classes[0, 1, 2] = bad
    masks[2, 5, 6, 3] = bad
    output = ModelOutput(MaskPrediction(tf.cast(classes, dtype), tf.cast(masks, dtype)))
    scores = tf.function(mark_non_finite(_post_process))(output, (8, 8)).segment_score
    np.testing.assert_array_equal(np.isnan(scores), [[True] * 4, [False] * 4, [True] * 4])
    np.testing.assert_array_equal(scores[1], [0.5] * 4)
    with pytest.raises(NonFinitePredictionError, match=r"not finite.*images: 7, 9\.$") as error:
        require_finite(scores, [7, 8, 9])
    assert error.value.images == (7, 9)
    assert isinstance(error.value, ArithmeticError)


def test_finite_predictions_pass():
    require_finite(np.zeros([2, 3], np.float32), ["a", "b"])
    with pytest.raises(NonFinitePredictionError, match=r"image: street\.jpg"):
        require_finite(np.full([1, 3], np.nan, np.float32), ["street.jpg"])

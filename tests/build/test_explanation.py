"""Explanations of a real network agree with its predictions."""

from __future__ import annotations

import numpy as np
import pytest

import kmax_tf
from kmax_tf.build.config import load_config
from kmax_tf.build.explanation import limits_of
from kmax_tf.structures import Verdict
from tests import tiny


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    prefix = tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))
    predictor = kmax_tf.Predictor(config, checkpoint=prefix)
    image = np.random.RandomState(0).randint(0, 255, (50, 90, 3)).astype(np.uint8)
    return predictor.explain(image), predictor(image)


def test_the_result_is_that_of_a_call(explained):
    made, called = explained
    assert (made.result.panoptic != called.panoptic).mean() < 1e-3
    assert (made.result.semantic != called.semantic).mean() < 1e-3
    kept = {slot.segment_id for slot in made.kept}
    assert kept == {segment.segment_id for segment in made.result.segments}
    assert len(made.slots) == 8


def test_stages_are_those_of_the_decoder(explained):
    made, _ = explained
    assert made.evidence.stage_sizes == ((3, 3), (5, 5), (9, 9))
    for stage in made.evidence.stages:
        assert stage.shape == (50, 90)
        assert 0 <= stage.min() <= stage.max() < 8
    # The image fills the upper part of the input, so that of 3 rows hardly two are in it.
    assert len(np.unique(made.evidence.stages[0][:, :20])) <= 2


def test_the_best_slot_of_a_pixel_holds_it_where_it_is_kept(explained):
    made, _ = explained
    decisions, panoptic = made.evidence.decisions, made.result.panoptic
    held = decisions.segment_id[decisions.best_slot]
    sure = decisions.best_probability > 0.51
    assert sure.any()
    is_kept = decisions.verdict[decisions.best_slot] == Verdict.KEPT
    np.testing.assert_array_equal(held[sure & is_kept], panoptic[sure & is_kept])


def test_limits_of_both_methods():
    config = load_config(tiny.CONFIG)
    assert limits_of(config.evaluator_options.post_processing) == pytest.approx(
        (0.3, 0.3, 0.4, 0.5, 20, 60)
    )
    max_deeplab = load_config(tiny.CONFIG.replace("tiny.", "tiny_max_deeplab."))
    options = max_deeplab.evaluator_options.post_processing
    confidence = options.pixel_wise.transformer_class_confidence_threshold
    assert limits_of(options)[:2] == (confidence, confidence)


def test_several_passes_cannot_be_explained(tmp_path):
    changes = ["evaluator_options.add_flipped_images=true"]
    predictor = kmax_tf.Predictor(
        load_config(tiny.CONFIG, changes), checkpoint=tiny.write_checkpoint(tmp_path)
    )
    with pytest.raises(
        ValueError, match=r"`evaluator_options.eval_scales` and `add_flipped_images`"
    ):
        predictor.explain(np.zeros((20, 20, 3), np.uint8))

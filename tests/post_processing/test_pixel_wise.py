"""Pixel-wise post-processing against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.post_processing import upsample
from kmax_tf.post_processing.pixel_wise import PixelWisePostProcessor
from kmax_tf.structures import MaskPrediction
from tests.post_processing.golden_cases import PIXEL_WISE, check_against, load_case, toy_info


def golden_processor(case: Any) -> PixelWisePostProcessor:
    return PixelWisePostProcessor(
        case.info,
        class_threshold=case.options.get("class_thr", 0.7),
        pixel_threshold=case.options["pixel_thr"],
        thing_area_limit=case.options["thing_area"],
        stuff_area_limit=case.options["stuff_area"],
    )


@pytest.mark.parametrize("name", PIXEL_WISE)
@pytest.mark.parametrize("band_elements", [2**22, 65 * 16 * 10])
def test_equals_reference(name: str, band_elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsample, "_BAND_ELEMENTS", band_elements)
    case = load_case(name)
    check_against(case, golden_processor(case)(case.prediction, case.size))


def test_runs_under_xla() -> None:
    case = load_case("pixelwise_basic")
    processor = golden_processor(case)
    process = tf.function(
        lambda classes, masks: processor(MaskPrediction(classes, masks), case.size),
        jit_compile=True,
        autograph=False,
    )
    check_against(case, process(case.prediction.class_logits, case.prediction.mask_logits))


def test_pixel_of_an_unconfident_slot_is_void() -> None:
    info = toy_info({"num_classes": 3, "ignore_label": 0, "divisor": 10, "things": [1]})
    processor = PixelWisePostProcessor(
        info, class_threshold=0.7, pixel_threshold=0.4, thing_area_limit=0, stuff_area_limit=0
    )
    masks = np.log([[[[0.9, 0.1], [0.2, 0.8]]]])
    classes = np.log([[[0.9, 0.05, 0.05], [0.05, 0.5, 0.45]]])
    prediction = MaskPrediction(tf.constant(classes, tf.float32), tf.constant(masks, tf.float32))
    result = processor(prediction, (1, 2))
    np.testing.assert_array_equal(result.panoptic, [[[11, 0]]])
    np.testing.assert_array_equal(result.semantic, [[[1, 2]]])
    np.testing.assert_array_equal(result.mask_id, [[[1, 1]]])

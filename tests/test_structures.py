from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.structures import DatasetInfo, MaskPrediction, ModelOutput


@pytest.fixture
def info() -> DatasetInfo:
    return DatasetInfo(
        name="toy",
        num_classes=5,
        ignore_label=0,
        label_divisor=256,
        class_ids=(1, 2, 3, 4),
        names=("sky", "cat", "grass", "dog"),
        colors=((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)),
        is_thing=(False, True, False, True),
        original_ids=(10, 20, 30, 40),
    )


def test_channel_order_is_things_then_stuff(info):
    assert info.thing_ids == (2, 4)
    assert info.stuff_ids == (1, 3)
    assert info.channel_ids == (2, 4, 1, 3)


def test_lookups(info):
    assert info.void_panoptic == 0
    assert dataclasses.replace(info, ignore_label=255).void_panoptic == 255 * 256
    assert info.name_of(np.int32(4)) == "dog"
    table = info.color_table()
    assert table.dtype == np.uint8
    assert table.tolist() == [[i] * 3 for i in range(5)]


def test_info_cannot_be_changed(info):
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.num_classes = 7


def test_nested_output_passes_a_function_unchanged():
    @tf.function
    def identity(output: ModelOutput) -> ModelOutput:
        return output

    prediction = MaskPrediction(tf.zeros([1, 2, 3]), tf.zeros([1, 4, 4, 2]))
    result = identity(ModelOutput(prediction, (prediction,)))
    assert isinstance(result, ModelOutput)
    assert isinstance(result.auxiliary[0], MaskPrediction)
    assert result.final.pixel_embedding is None and result.semantic_logits is None

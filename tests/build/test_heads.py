from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.build.heads import mask_head_settings, norm_settings, pooling_window, semantic_head
from kmax_tf.data.dataset_info import load_dataset_info

TINY = "configs/test/tiny.textproto"


def test_norm_settings():
    norm = norm_settings(load_config(TINY).trainer_options.solver_options)
    assert norm.momentum == pytest.approx(0.9)
    assert norm.epsilon == pytest.approx(1e-3)
    assert norm.sync


def test_mask_head_counts_void():
    options = load_config(TINY).model_options.mask_head
    settings = mask_head_settings(options, load_dataset_info("cityscapes_panoptic"))
    assert settings == (20, 8, 8, 1.0)


def test_semantic_head():
    options = load_config(TINY).model_options
    info = load_dataset_info("coco_panoptic")
    norm = norm_settings(load_config(TINY).trainer_options.solver_options)
    head = semantic_head(options, info, norm, encoder_activation="relu", activation="gelu")
    assert head.num_classes == 134
    assert head.activation == "gelu"
    assert head.decoder.settings.low_level == (("res3", 4), ("res2", 4))
    assert head.decoder.settings.low_level_activation == "relu"
    assert head.decoder.aspp.dropout_rate == 0.1
    options.ClearField("semantic_head")
    assert semantic_head(options, info, norm, encoder_activation="relu") is None


def test_pooling_window():
    config = load_config(TINY, ["train_dataset_options.crop_size=641,1025"])
    assert pooling_window(config, 16) is None
    decoder = config.model_options.semantic_head.decoder
    decoder.pooling = decoder.TRAIN_CROP
    assert pooling_window(config, 16) == (41, 65)
    assert pooling_window(config, 32) == (21, 33)

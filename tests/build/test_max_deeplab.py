from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.max_deeplab import build_max_deeplab
from kmax_tf.build.model import build_model
from kmax_tf.data.dataset_info import load_dataset_info
from tests.golden import max_deeplab


def test_fields_reach_the_layers():
    config = max_deeplab.tiny_config(
        "max_deeplab_s",
        [
            "model_options.dual_path_transformer.num_mask_slots=5",
            "model_options.dual_path_transformer.drop_path_keep_prob=0.6",
            "model_options.mask_head.mask_logit_gamma=0.5",
            "train_dataset_options.crop_size=65,97",
            "trainer_options.solver_options.batchnorm_momentum=0.8",
        ],
    )
    model = build_model(config)
    assert model.dual_path.memory.shape == (1, 5, 8)
    assert model.pixel_encoder.stages["stage5"][2].drop_path.keep_prob == pytest.approx(0.6)
    for block, keep_prob in zip(model.dual_path.transformers["stage5"], (0.7, 0.6, 0.6)):
        assert block.drop_path.keep_prob == pytest.approx(keep_prob)
        assert block.settings.feed_forward_width == 64
    assert model.mask_head.mask_norm.gamma.numpy() == 0.5
    assert model.mask_head.activation == "relu"
    decoder = model.semantic_head.decoder
    assert (decoder.activation, decoder.settings.low_level_activation) == ("relu", "relu")
    assert decoder.aspp.pooling_window == (5, 7)
    assert model.pixel_encoder.stem.conv1.norm.norm.momentum == pytest.approx(0.8)


def test_pooling_of_the_whole_map_and_no_semantic_head():
    config = max_deeplab.tiny_config("max_deeplab_s")
    config.model_options.semantic_head.decoder.ClearField("pooling")
    info = load_dataset_info("shapes")
    assert build_max_deeplab(config, info).semantic_head.decoder.aspp.pooling_window is None
    config.model_options.ClearField("semantic_head")
    model = build_model(config)
    assert model.semantic_head is None
    assert model(tf.zeros([1, 33, 33, 3]), with_semantic=True).semantic_logits is None


def test_the_large_variant_takes_no_semantic_decoder():
    config = max_deeplab.tiny_config("max_deeplab_l")
    info = load_dataset_info("shapes")
    assert build_max_deeplab(config, info).semantic_head.decoder is None
    config.model_options.semantic_head.decoder.atrous_rates.extend([6, 12, 18])
    with pytest.raises(ValueError, match=r"must be absent for MAX_DEEPLAB_L.* stride of the masks"):
        build_max_deeplab(config, info)

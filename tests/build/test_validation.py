from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment_name=", "experiment_name"),
        ("train_dataset_options.dataset_info=", "dataset_info"),
        ("train_dataset_options.batch_size=0", "batch_size"),
        ("train_dataset_options.crop_size=160,161", r"k \* 32 \+ 1, for example 161.*160,161"),
        ("train_dataset_options.crop_size=1,65", "crop_size"),
        ("train_dataset_options.crop_size=65", "needs 2 values"),
        ("train_dataset_options.max_resize_value=97", "must not exceed `crop_size`"),
        ("train_dataset_options.max_thing_id=0", "max_thing_id"),
        ("train_dataset_options.augmentations.min_scale_factor=2", "min_scale_factor"),
        ("train_dataset_options.max_bad_records=-1", r"max_bad_records` must not be negat.*-1"),
        ("eval_dataset_options.max_bad_records=-1", r"eval_dataset_options\.max_bad_records"),
        ("train_dataset_options.data_service=host:1", r"`grpc://host:port`.*'host:1'"),
        ("eval_dataset_options.data_service=grpc://host:1", r"eval.*data_service` must be empty"),
        ("model_options.resnet.depths=1,2", "depths` needs 0 or 4"),
        ("model_options.resnet.widths=1,2,3,0", "must be positive"),
        (
            "trainer_options.stall_timeout=0",
            r"trainer_options\.stall_timeout` must be positive; received 0",
        ),
        (
            "trainer_options.max_total_loss=-1",
            r"trainer_options\.max_total_loss` must not be negative \(0 = no limit\); received -1",
        ),
        ("model_options.kmax_pixel_decoder.stages.1.width=0", "stages.1.width"),
        ("model_options.kmax_transformer_decoder.num_layers=2,2", "num_layers"),
        ("model_options.kmax_transformer_decoder.key_width=9", "multiple of `num_heads`"),
        ("model_options.kmax_transformer_decoder.drop_path_keep_prob=0", r"lie in \(0, 1\]"),
        ("trainer_options.steps_per_loop=3", "multiple of `steps_per_loop`"),
        ("trainer_options.ema_decay=1", r"ema_decay` must lie in \[0, 1\); received 1"),
        ("trainer_options.ema_decay=-0.1", "ema_decay"),
        ("trainer_options.ema_decay=nan", "ema_decay"),
        ("trainer_options.solver_options.reference_batch_size=-1", "reference_batch_size"),
        ("trainer_options.solver_options.base_learning_rate=nan", "base_learning_rate"),
        ("trainer_options.solver_options.warmup_steps=-1", "warmup_steps"),
        ("trainer_options.solver_options.batchnorm_momentum=1", "batchnorm_momentum"),
        ("trainer_options.loss_options.kmax.pq_style_loss.weight=-1", "pq_style_loss.weight"),
        ("trainer_options.loss_options.kmax.semantic_loss.top_k_percent=20", "fraction"),
        ("trainer_options.solver_options.base_learning_rate=inf", "base_learning_rate"),
        ("trainer_options.loss_options.kmax.pq_style_loss.weight=nan", "must be finite"),
        ("trainer_options.solver_options.adamw_weight_decay=nan", "must be finite"),
        ("trainer_options.save_summaries_steps=0", "save_summaries_steps"),
        ("model_options.kmax_transformer_decoder.num_heads=0", "num_heads"),
        ("model_options.kmax_transformer_decoder.num_layers=0,0,0", "one of them positive"),
        ("model_options.mask_head.head_channels=0", "mask_head.head_channels"),
        ("model_options.semantic_head.decoder.aspp_channels=0", "aspp_channels"),
        ("evaluator_options.eval_interval=0", "eval_interval"),
        ("evaluator_options.eval_steps=0", "eval_steps"),
        (
            "evaluator_options.eval_scales=1,0",
            r"evaluator_options\.eval_scales` must be positive.* 0",
        ),
        ("evaluator_options.eval_scales=-0.5", "eval_scales` must be positive; received -0.5"),
        ("evaluator_options.eval_scales=1,inf", r"evaluator_options\.eval_scales` must be finite"),
        ("evaluator_options.eval_scales=nan", "eval_scales` must be finite; received nan"),
        ("evaluator_options.post_processing.pixel_confidence_threshold=2", "pixel_confidence"),
    ],
)
def test_fault_is_named(repository_root, override, message):
    with pytest.raises(ValueError, match=message):
        load_config(repository_root / "configs/test/tiny.textproto", overrides=[override])


def test_semantic_loss_needs_its_head(repository_root):
    config = load_config(repository_root / "configs/test/tiny.textproto")
    config.model_options.ClearField("semantic_head")
    from kmax_tf.build.validation import validate

    with pytest.raises(ValueError, match=r"semantic_loss.*semantic_head"):
        validate(config)
    config.trainer_options.loss_options.kmax.semantic_loss.weight = 0
    validate(config)


def test_parts_must_be_chosen(repository_root):
    from kmax_tf.build.validation import validate

    config = load_config(repository_root / "configs/test/tiny.textproto")
    config.model_options.ClearField("pixel_encoder")
    with pytest.raises(ValueError, match="must choose a pixel_encoder: one of resnet"):
        validate(config)

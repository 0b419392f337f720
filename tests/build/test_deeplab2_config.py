from __future__ import annotations

import logging

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.build.data import resize_options
from kmax_tf.build.deeplab2_config import NUM_CLASSES, is_deeplab2_config
from kmax_tf.build.textproto import scan_fields
from kmax_tf.data.dataset_info import load_dataset_info
from protos import data_pb2, deeplab2_pb2, evaluation_pb2, post_processing_pb2, training_pb2
from tests.build.old_config import old_settings, translate, with_setting
from tests.configs.deeplab2_files import render

MASK_WISE = {"transformer_post_processing": "maskwise"}


def messages(caplog, level: int) -> list:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


@pytest.mark.parametrize(
    ("text", "old"),
    [
        ('model_options { backbone { name: "kmax_resnet50" } }', True),
        ("model_options { max_deeplab { } }", True),
        ("model_options { panoptic_deeplab { } }", True),
        ("model_options { resnet { } }  # model_options { max_deeplab {} }", False),
        ('experiment_name: "model_options { backbone {} }"', False),
        ("", False),
    ],
)
def test_an_old_file_is_told_by_its_model(text, old):
    assert is_deeplab2_config(scan_fields(text)) == old


def test_our_own_configs_are_not_taken_as_old(repository_root):
    for path in (repository_root / "configs").rglob("*.textproto"):
        assert not is_deeplab2_config(scan_fields(path.read_text()))


def test_the_numbers_of_classes_are_those_of_our_data_sets():
    for name, num_classes in NUM_CLASSES.items():
        assert load_dataset_info(name).num_classes == num_classes


def test_unset_fields_get_the_defaults_of_the_old_schema():
    config = translate(old_settings())
    trainer, solver = config.trainer_options, config.trainer_options.solver_options
    assert trainer.num_checkpoints_to_keep == 5
    assert trainer.save_summaries_steps == trainer.steps_per_loop == 1000
    assert solver.optimizer == solver.ADAM
    assert solver.learning_policy == solver.POLY
    assert solver.base_learning_rate == pytest.approx(1e-3)
    assert solver.backbone_learning_rate_multiplier == 1
    assert solver.training_number_of_steps == 60_000
    assert not solver.use_gradient_clipping
    assert trainer.loss_options.WhichOneof("criterion") == "kmax"
    assert not trainer.loss_options.kmax.ListFields()
    assert config.train_dataset_options.batch_size == 32
    assert config.train_dataset_options.max_thing_id == 128
    assert not config.HasField("eval_dataset_options")
    evaluator = config.evaluator_options
    assert evaluator.eval_interval == 5000
    assert evaluator.post_processing.WhichOneof("method") == "pixel_wise"
    assert evaluator.num_vis_samples == 0  # deeplab2 draws only with save_predictions.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (deeplab2_pb2.DatasetOptions, data_pb2.DatasetOptions),
        (deeplab2_pb2.AugmentationOptions, data_pb2.AugmentationOptions),
        (deeplab2_pb2.CopyPasteOptions, data_pb2.PanopticCopyPasteOptions),
        (deeplab2_pb2.TrainerOptions, training_pb2.TrainerOptions),
        (deeplab2_pb2.SolverOptions, training_pb2.SolverOptions),
        (deeplab2_pb2.EvaluatorOptions, evaluation_pb2.EvaluatorOptions),
        (deeplab2_pb2.EvaluatorOptions, post_processing_pb2.PostProcessingOptions),
        (deeplab2_pb2.MaskwiseOptions, post_processing_pb2.MaskWiseOptions),
    ],
)
def test_the_schemas_agree_on_defaults_of_the_same_name(old, new):
    """So that a part which the old file leaves out may be left out of ours too."""
    for name, field in old.DESCRIPTOR.fields_by_name.items():
        other = new.DESCRIPTOR.fields_by_name.get(name)
        if other is not None and other.cpp_type == field.cpp_type and not field.message_type:
            assert getattr(old(), name) == getattr(new(), name), name


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train_dataset_options.thing_id_mask_annotations", False, "must be true.*received false"),
        ("train_dataset_options.use_two_frames", True, "must keep its default.*videos"),
        ("train_dataset_options.cameras_to_use", ["left"], "must keep its default.*cameras"),
        (
            "train_dataset_options.augmentations.autoaugment_policy_name",
            "strong",
            "accepts nothing, simple_classification_policy, .*received strong",
        ),
        (
            "train_dataset_options.augmentations.panoptic_copy_paste."
            "panoptic_copy_paste_thing_option",
            "some",
            "accepts random, none, all; received some",
        ),
        ("trainer_options.solver_options.optimizer", "lars", "accepts adam, adamw, sgd"),
        ("trainer_options.solver_options.learning_policy", "step", "accepts poly, cosine"),
        ("trainer_options.loss_options.semantic_loss.name", "focal", "must be softmax_cross_entro"),
        ("evaluator_options.transformer_post_processing", "fast", "must be pixelwise or maskwise"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_by_name(path, value, message):
    with pytest.raises(ValueError, match=rf"^old\.textproto: `{path}` .*{message}") as caught:
        translate(with_setting(path, value))
    assert "\n" not in str(caught.value)


def test_mask_wise_needs_its_block():
    with pytest.raises(ValueError, match=r"`evaluator_options\.maskwise_postprocessing` must be"):
        translate(with_setting("evaluator_options", MASK_WISE))
    block = {"maskwise_postprocessing": {"overlapping_threshold": 0.9}}
    config = translate(with_setting("evaluator_options", {**MASK_WISE, **block}))
    mask_wise = config.evaluator_options.post_processing.mask_wise
    assert mask_wise.overlapping_threshold == pytest.approx(0.9)
    assert mask_wise.transformer_class_confidence_threshold_stuff == pytest.approx(0.7)
    assert mask_wise.reorder_mask_weight == 0


@pytest.mark.parametrize("loss", ["center", "regression", "motion", "next_regression", "depth"])
def test_losses_of_other_architectures_are_refused(loss):
    with pytest.raises(ValueError, match=rf"loss_options\.{loss}_loss` must be absent"):
        translate(with_setting(f"trainer_options.loss_options.{loss}_loss", {"weight": 1.0}))


def test_losses_are_on_where_they_are_present():
    losses = {
        "semantic_loss": {"name": "softmax_cross_entropy", "top_k_percent": 0.5},
        "instance_discrimination_loss": {"weight": 2.0},
    }
    settings = with_setting("trainer_options.loss_options", losses)
    settings["model_options"]["max_deeplab"]["instance_discrimination_sample_k"] = 12
    kmax = translate(settings).trainer_options.loss_options.kmax
    assert [field.name for field, _ in kmax.ListFields()] == list(losses)
    assert (kmax.semantic_loss.weight, kmax.semantic_loss.top_k_percent) == (1, 0.5)
    assert kmax.semantic_loss.semantic_sample_k == 0
    instance = kmax.instance_discrimination_loss
    assert (instance.weight, instance.instance_discrimination_sample_k) == (2, 12)
    assert instance.instance_discrimination_sample_temperature == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("minimum", "maximum", "training", "evaluation"),
    [
        (None, None, (None, None), (None, (65, 97))),
        ([0], [0], (None, None), (None, (65, 97))),
        ([33], None, ((33, 33), None), ((33, 33), (65, 97))),
        ([65, 97], [65, 97], ((65, 97), (65, 97)), ((65, 97), (65, 97))),
        ([97, 65], [33, 49], ((97, 65), (33, 49)), ((97, 65), (33, 49))),
        ([-1, 5], [33], (None, (33, 33)), (None, (33, 33))),
    ],
)
def test_limits_of_the_resize(minimum, maximum, training, evaluation):
    options = {"dataset": "coco_panoptic", "crop_size": [65, 97]}
    for name, values in (("min_resize_value", minimum), ("max_resize_value", maximum)):
        if values:
            options[name] = values
    settings = old_settings()
    settings["train_dataset_options"] = settings["eval_dataset_options"] = options
    config = translate(settings)
    for part, expected in (("train", training), ("eval", evaluation)):
        data = getattr(config, f"{part}_dataset_options")
        resize = resize_options(data, training=part == "train")
        assert (resize.minimum, resize.maximum) == expected


def test_a_crop_alone_can_be_overridden_where_the_limits_were_the_crop():
    settings = old_settings()
    settings["train_dataset_options"].update(
        crop_size=[641, 641], min_resize_value=641, max_resize_value=[641, 641]
    )
    data = translate(settings).train_dataset_options
    assert not data.min_resize_value
    assert not data.max_resize_value


def test_a_resize_factor_counts_where_deeplab2_resizes(caplog):
    caplog.set_level(logging.INFO, "kmax_tf")
    settings = with_setting("train_dataset_options.resize_factor", 32)
    settings["eval_dataset_options"] = dict(settings["train_dataset_options"])
    config = translate(settings)
    assert config.train_dataset_options.resize_factor == 0
    assert config.eval_dataset_options.resize_factor == 32
    assert "without effect, in deeplab2 too: train_dataset_options.resize_factor" in caplog.text
    settings["train_dataset_options"]["min_resize_value"] = 0
    assert translate(settings).train_dataset_options.resize_factor == 32


def test_classes_have_to_fit_a_known_data_set():
    path = "model_options.max_deeplab.auxiliary_semantic_head.output_channels"
    with pytest.raises(ValueError, match=rf"`{path}` must be 134, .*coco_panoptic; received 19\."):
        translate(with_setting(path, 19))


def test_an_unknown_data_set_is_named_and_can_be_replaced(caplog, tmp_path):
    settings = with_setting("train_dataset_options.dataset", "my_panoptic")
    file = tmp_path / "old.textproto"
    file.write_text(render(settings))
    with caplog.at_level(logging.INFO, "kmax_tf"):
        config = load_config(file, ["train_dataset_options.dataset_info=shapes"])
    assert config.train_dataset_options.dataset_info == "shapes"
    (warning,) = messages(caplog, logging.WARNING)
    assert "`train_dataset_options.dataset` my_panoptic is none of coco_panoptic," in warning
    assert "--set train_dataset_options.dataset_info=FILE.json" in warning


def _line_of(settings, name):
    lines = render(settings).splitlines()
    return next(number for number, line in enumerate(lines, 1) if name in line)


def test_unknown_fields_are_reported_with_line(caplog):
    settings = old_settings()
    settings["trainer_options"] = {"solver_options": {"lookahead": {"k": 5}}}
    translate(settings)
    (warning,) = messages(caplog, logging.WARNING)
    assert warning == (
        f"old.textproto:{_line_of(settings, 'lookahead')}: "
        "`trainer_options.solver_options.lookahead` is ignored: deeplab2's schema has no such "
        "field."
    )


@pytest.mark.parametrize(
    ("path", "likely"),
    [
        ("trainer_options.solver_options.warmup_step", "warmup_steps"),
        ("model_options.max_deeplb", "max_deeplab"),
    ],
)
def test_a_misspelt_field_is_refused_with_its_likely_name(path, likely):
    settings = old_settings()
    parent, _, name = path.rpartition(".")
    message = settings
    for part in parent.split("."):
        message = message.setdefault(part, {})
    message[name] = message.pop(likely, 3)
    with pytest.raises(ValueError, match="did you mean") as error:
        translate(settings)
    assert str(error.value).endswith(
        f"old.textproto:{_line_of(settings, name)}: deeplab2's schema has no field `{path}`; did "
        f"you mean `{likely}`?"
    )


def test_a_syntax_error_in_an_old_file_names_the_line(tmp_path):
    file = tmp_path / "old.textproto"
    file.write_text(render(old_settings()).replace("crop_size: 97", "crop_size: wide"))
    with pytest.raises(ValueError, match=r"old\.textproto:\d+: "):
        load_config(file)


def test_the_log_tells_what_was_done(caplog):
    caplog.set_level(logging.INFO, "kmax_tf")
    settings = with_setting("evaluator_options.save_raw_predictions", True)
    settings["evaluator_options"].update(save_predictions=True, nms_kernel=5)
    settings["train_dataset_options"]["file_pattern"] = "${TRAIN_SET}"
    settings["model_options"]["max_deeplab"]["semantic_sample_k"] = 4096
    config = translate(settings)
    assert config.evaluator_options.num_vis_samples == 10
    facts = messages(caplog, logging.INFO)
    assert facts[0] == (
        "old.textproto: a config of deeplab2 (kmax_resnet50, coco_panoptic), read as the fields of "
        "kmax_tf."
    )
    for part in (
        "by the data set's name 'coco_panoptic', as in deeplab2: num_mask_slots 128, 4 stages",
        "save_predictions: 10 pictures per evaluation",
        "without effect, in deeplab2 too: model_options.max_deeplab.semantic_sample_k, "
        "evaluator_options.nms_kernel.",
        "not carried over: evaluator_options.save_raw_predictions (`kmax eval "
        "--save_predictions=FOLDER` does it).",
        "nothing fills ${TRAIN_SET}",
    ):
        assert part in caplog.text
    assert not messages(caplog, logging.WARNING)


def test_overrides_apply_to_the_translated_config(tmp_path):
    file = tmp_path / "old.textproto"
    file.write_text(render(old_settings()))
    config = load_config(
        file, ["model_options.kmax_transformer_decoder.num_mask_slots=7", "trainer_options.seed=3"]
    )
    assert config.model_options.kmax_transformer_decoder.num_mask_slots == 7
    assert config.trainer_options.seed == 3


def test_passes_have_no_effect_as_in_deeplab2(caplog):
    caplog.set_level(logging.INFO, "kmax_tf")
    settings = {"eval_scales": [0.5, 1.0], "add_flipped_images": True}
    config = translate({**old_settings(), "evaluator_options": settings})
    assert not config.evaluator_options.eval_scales
    assert not config.evaluator_options.add_flipped_images
    messages = [m for m in caplog.messages if "without effect, in deeplab2 too" in m]
    assert len(messages) == 1 and "eval_scales" in messages[0]

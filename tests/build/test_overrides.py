from __future__ import annotations

import pytest

from kmax_tf.build.overrides import apply_override
from protos import experiment_pb2, training_pb2


@pytest.fixture
def config() -> experiment_pb2.ExperimentOptions:
    return experiment_pb2.ExperimentOptions()


def test_values_of_every_type(config):
    apply_override(config, "experiment_name", "a=b,c")
    apply_override(config, "trainer_options.seed", "3")
    apply_override(config, "trainer_options.solver_options.base_learning_rate", "1e-3")
    apply_override(config, "trainer_options.solver_options.use_sync_batchnorm", "false")
    apply_override(config, "trainer_options.solver_options.optimizer", "sgd")
    apply_override(config, "train_dataset_options.crop_size", "641, 1281")
    assert config.experiment_name == "a=b,c"
    assert config.trainer_options.seed == 3
    solver = config.trainer_options.solver_options
    assert solver.base_learning_rate == pytest.approx(1e-3)
    assert solver.HasField("use_sync_batchnorm") and not solver.use_sync_batchnorm
    assert solver.optimizer == training_pb2.SolverOptions.SGD
    assert list(config.train_dataset_options.crop_size) == [641, 1281]


def test_repeated_value_replaces_and_empty_clears(config):
    config.train_dataset_options.file_pattern.extend(["a", "b"])
    apply_override(config, "train_dataset_options.file_pattern", "c")
    assert list(config.train_dataset_options.file_pattern) == ["c"]
    apply_override(config, "train_dataset_options.file_pattern", "")
    assert not config.train_dataset_options.file_pattern


def test_element_of_a_repeated_message(config):
    config.model_options.kmax_pixel_decoder.stages.add(width=4)
    apply_override(config, "model_options.kmax_pixel_decoder.stages.0.width", "8")
    assert config.model_options.kmax_pixel_decoder.stages[0].width == 8
    with pytest.raises(ValueError, match="index from 0 to 0"):
        apply_override(config, "model_options.kmax_pixel_decoder.stages.1.width", "8")


def test_choosing_a_oneof_member_drops_the_other(config):
    options = config.evaluator_options.post_processing
    options.mask_wise.overlapping_threshold = 0.5
    path = "evaluator_options.post_processing.pixel_wise.transformer_class_confidence_threshold"
    apply_override(config, path, "0.2")
    assert options.WhichOneof("method") == "pixel_wise"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trainer_option.seed", "1", "nearest known name is `trainer_options`"),
        ("trainer_options.sed", "1", "nearest known name is `seed`"),
        ("trainer_options", "1", "names a message"),
        ("trainer_options.seed.x", "1", "has no fields"),
        ("trainer_options.seed", "1.5", "accepts a whole number"),
        ("trainer_options.solver_options.base_learning_rate", "fast", "accepts a number"),
        ("trainer_options.solver_options.use_sync_batchnorm", "maybe", "true or false"),
        ("trainer_options.solver_options.optimizer", "lars", "accepts ADAM, ADAMW, SGD"),
    ],
)
def test_errors_name_the_field_and_what_is_accepted(config, path, value, message):
    with pytest.raises(ValueError, match=message):
        apply_override(config, path, value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trainer_options.seed", str(2**63), r"accepts whole numbers from -9223372036854775808 to"),
        ("trainer_options.seed", "9" * 5000, r"received '999.*\.\.\..*'\.$"),
        (
            "train_dataset_options.crop_size",
            "5,2147483648",
            "accepts whole numbers from -2147483648",
        ),
        ("experiment_name", "\ud800", r"accepts text of whole characters; received '\\ud800'"),
        ("model_options.kmax_pixel_decoder.stages.²", "1", "is expected; received ²"),
        ("x" * 60_000, "1", "ExperimentOptions has no field"),
    ],
)
def test_values_of_any_size_are_refused_by_name(path, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        apply_override(experiment_pb2.ExperimentOptions(), path, value)
    assert str(caught.value).startswith(f"`--set {path}`")
    assert type(caught.value) is ValueError

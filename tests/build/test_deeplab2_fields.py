from __future__ import annotations

import logging

import pytest
from google.protobuf import text_format

from kmax_tf.build.deeplab2_fields import Fields, Notes
from protos import data_pb2, deeplab2_pb2


def fields_of(text: str, notes: Notes) -> Fields:
    message = text_format.Parse(text, deeplab2_pb2.DatasetOptions())
    return Fields(message, "train_dataset_options", notes)


@pytest.fixture
def notes() -> Notes:
    return Notes("some/folder/old.textproto")


def test_copied_fields_have_the_defaults_of_the_old_schema(notes):
    target = data_pb2.DatasetOptions()
    fields_of("crop_size: 65 crop_size: 97 batch_size: 3", notes).copy(
        target, "crop_size", "batch_size", "max_thing_id"
    )
    assert list(target.crop_size) == [65, 97]
    assert (target.batch_size, target.max_thing_id) == (3, 128)
    assert target.HasField("max_thing_id")


def test_required_values(notes):
    old = fields_of("use_two_frames: true cameras_to_use: 'left'", notes)
    with pytest.raises(
        ValueError,
        match=r"^some/folder/old\.textproto: `train_dataset_options\.use_two_frames` must keep its "
        r"default \(no video\); received true\.$",
    ):
        old.require_defaults("use_two_frames", why="no video")
    with pytest.raises(ValueError, match=r"cameras_to_use` must keep its default.*left"):
        old.require_defaults("use_next_frame", "cameras_to_use", why="one camera")
    with pytest.raises(
        ValueError, match=r"batch_size` must be 1 or 2 \(of it\); received 32, deeplab2's default"
    ):
        old.require("batch_size", [1, 2], why="of it")
    with pytest.raises(ValueError, match=r"`train_dataset_options\.dataset` must be set"):
        old.require_set("use_two_frames", "dataset")
    with pytest.raises(ValueError, match=r"dataset` accepts nothing, a; received b\."):
        fields_of("dataset: 'b'", notes).choose("dataset", {"": 0, "a": 1})
    assert fields_of("", notes).choose("dataset", {"": 5}) == 5


def test_a_forgotten_field_is_found(notes):
    message = text_format.Parse("name: 'x'", deeplab2_pb2.LossTerm())
    term = Fields(message, "term", notes)
    term.take("name")
    term.drop("weight")
    with pytest.raises(RuntimeError, match=r"\['term\.top_k_percent'\]"):
        term.finish()
    term.take("top_k_percent")
    term.finish()


def test_what_is_left_out_is_logged_once_and_only_if_set(notes, caplog):
    caplog.set_level(logging.INFO, "kmax_tf")
    old = fields_of("sigma: 4 small_instance_weight: 1 resize_factor: 0", notes)
    old.drop("sigma", inert=True)
    old.drop("small_instance_weight", instead="use scissors")
    old.drop("resize_factor", "batch_size", instead="not set")
    notes.fact("read.")
    notes.warn(":3: odd.")
    notes.remind("go on.")
    notes.log()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "old.textproto: read."),
        (
            "INFO",
            "old.textproto: without effect, in deeplab2 too: train_dataset_options.sigma.",
        ),
        (
            "INFO",
            "old.textproto: not carried over: train_dataset_options.small_instance_weight "
            "(use scissors).",
        ),
        ("WARNING", "old.textproto:3: odd."),
        ("INFO", "old.textproto: go on."),
    ]


def test_elements_of_repeated_messages_have_an_index(notes):
    text = "auxiliary_low_level { channels_project: 1 } auxiliary_low_level { feature_key: 'a' }"
    message = text_format.Parse(text, deeplab2_pb2.MaXDeepLabOptions())
    first, second = Fields(message, "", notes).take_all_fields("auxiliary_low_level")
    assert second.path_of("feature_key") == "auxiliary_low_level.1.feature_key"
    assert first.is_set("channels_project")
    assert not first.is_set("feature_key")

from __future__ import annotations

import pytest

from kmax_tf.build.textproto import (
    MAX_DEPTH,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_BYTES,
    cut_unknown_fields,
    parse_text,
    scan_fields,
)
from protos import deeplab2_pb2, experiment_pb2

TEXT = """# a comment { with a brace and a "quote
experiment_name: "a # is no comment { here"  # model_options {
model_options {
  resnet < depths: [3, 4]  depths: 6 >
  semantic_head: {
    decoder { auxiliary_low_level { feature_key: 'it\\'s' } auxiliary_low_level {} }
  }
  allow_missing: ["one", "two"]
  pretrained_weights: "in two "
                      "parts"
};
trainer_options { seed: -1, solver_options { base_learning_rate: 5e-4 } }
"""


def test_fields_are_found_with_path_line_and_extent():
    found = {
        (field.path, field.line): TEXT[field.start : field.stop] for field in scan_fields(TEXT)
    }
    assert list(found) == [
        ("experiment_name", 2),
        ("model_options", 3),
        ("model_options.resnet", 4),
        ("model_options.resnet.depths", 4),
        ("model_options.semantic_head", 5),
        ("model_options.semantic_head.decoder", 6),
        ("model_options.semantic_head.decoder.auxiliary_low_level", 6),
        ("model_options.semantic_head.decoder.auxiliary_low_level.feature_key", 6),
        ("model_options.allow_missing", 8),
        ("model_options.pretrained_weights", 9),
        ("trainer_options", 12),
        ("trainer_options.seed", 12),
        ("trainer_options.solver_options", 12),
        ("trainer_options.solver_options.base_learning_rate", 12),
    ]
    assert found["experiment_name", 2] == 'experiment_name: "a # is no comment { here"'
    assert found["model_options.pretrained_weights", 9].endswith('"parts"')
    assert found["model_options.allow_missing", 8] == 'allow_missing: ["one", "two"]'
    assert found["trainer_options.seed", 12] == "seed: -1"


def test_the_scanned_text_is_what_the_parser_reads():
    config = experiment_pb2.ExperimentOptions()
    parse_text(TEXT, config, "here")
    assert config.experiment_name == "a # is no comment { here"
    assert list(config.model_options.resnet.depths) == [3, 4, 6]
    assert config.model_options.pretrained_weights == "in two parts"


def test_messages_in_a_list_are_entered():
    fields = scan_fields("a { b: [{ c: 1 }, { d: 2 }] e: 3 }")
    assert [field.path for field in fields] == ["a", "a.b", "a.b.c", "a.b.d", "a.e"]


@pytest.mark.parametrize("text", ["", "a", "a {", "a: [", "} b", 'a: "open', "]:{", "a < b: ["])
def test_anything_can_be_scanned(text):
    for field in scan_fields(text):
        assert 0 <= field.start <= field.stop <= len(text)


def test_unknown_fields_are_cut_and_lines_kept():
    text = TEXT.replace("trainer_options {", 'new_part { x { y: "}" }\n z: 1 } trainer_options {')
    text = text.replace("resnet <", "extra: [1, 2] resnet <")
    descriptor = experiment_pb2.ExperimentOptions.DESCRIPTOR
    cut, unknown = cut_unknown_fields(text, scan_fields(text), descriptor)
    assert [(field.path, field.line) for field in unknown] == [
        ("model_options.extra", 4),
        ("new_part", 12),
    ]
    assert cut.count("\n") == text.count("\n")
    config, expected = experiment_pb2.ExperimentOptions(), experiment_pb2.ExperimentOptions()
    parse_text(cut, config, "here")
    parse_text(TEXT, expected, "here")
    assert config == expected
    assert cut_unknown_fields(TEXT, scan_fields(TEXT), descriptor) == (TEXT, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nexperiment_nam: 'x'", r"^here:2: ExperimentOptions has no field `experiment_nam`; the "
         r"nearest known name is `experiment_name`\.$"),
        ("trainer_options { precision: HALF }", r"^here:1: Precision accepts FLOAT32, BFLOAT16"),
        ("model_options {", r"^here"),
        ("experiment_name: 3", r"^here:1: "),
    ],
)  # fmt: skip
def test_faults_are_one_sentence_with_the_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_text(text, experiment_pb2.ExperimentOptions(), "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {" * 50_000, "it is nested deeper than the 20 messages that are read"),
        ("a: " + "[" * 50_000, "it is nested deeper than the 20 messages that are read"),
        ("a" * 101 + ": 1", r"the name 'aaa.*' has more than 100 characters"),
        ("a: 1\n" * 60_000, "it has more than the 262144 bytes that a config may have"),
    ],
)
def test_texts_beyond_the_limits_are_refused(text, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        scan_fields(text[: MAX_TEXT_BYTES + 1])


@pytest.mark.parametrize("piece", ['\\"', "'", "a:", "#", "a{}", "\n", "a: {b: 1} ", "\\", "é:"])
def test_the_longest_texts_are_scanned_within_seconds(piece):
    """Work that grows with the square of the length takes hours here."""
    text = (piece * MAX_TEXT_BYTES)[: MAX_TEXT_BYTES // len(piece.encode()) * len(piece) // 2]
    fields = scan_fields(text)
    cut, _ = cut_unknown_fields(text, fields, experiment_pb2.ExperimentOptions.DESCRIPTOR)
    assert len(cut) == len(text)


def test_every_field_of_both_schemas_is_within_the_limits():
    def check(descriptor, depth):
        assert depth < MAX_DEPTH
        for field in descriptor.fields:
            assert 2 * len(field.name) <= MAX_NAME_CHARACTERS + 2
            if field.message_type is not None:
                check(field.message_type, depth + 1)

    check(experiment_pb2.ExperimentOptions.DESCRIPTOR, 1)
    check(deeplab2_pb2.Experiment.DESCRIPTOR, 1)


def test_what_is_no_name_is_no_field():
    assert [field.path for field in scan_fields("a.b: 1 0.3 d: 0.5 é: 1")] == ["d"]


def test_messages_stay_short():
    with pytest.raises(ValueError, match=r"^here:1: ") as caught:
        parse_text(
            "trainer_options { seed: " + "x" * 10_000, experiment_pb2.ExperimentOptions(), "here"
        )
    assert len(str(caught.value)) < 400

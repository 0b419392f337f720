"""The config reader, given anything: a config or one sentence; and round trips."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from kmax_tf.build.config import load_config, parse_config
from kmax_tf.build.overrides import apply_override
from kmax_tf.build.textproto import scan_fields
from protos import experiment_pb2
from tests.configs.deeplab2_files import deeplab2_text

ROOT = Path(__file__).resolve().parent.parent.parent
OWN = (ROOT / "configs" / "test" / "tiny.textproto").read_text(encoding="utf-8")
OLD = deeplab2_text("coco/kmax_deeplab/kmax_meta_r50_os32")
TINY = parse_config(OWN, "tiny.textproto", {})
VALUES = ["nan", "-1", "1e999", "9" * 5000, "2147483648", "true", '"x"', "0x1g", "CONSTANT", "²"]
TOKENS = st.sampled_from(
    re.findall(r"\w[\w.]*|[{}:]", OWN + OLD)
    + ["{", "}", "<", ">", "[", "]", ":", ",", '"', "'", "\\", "#", "\n", "${KMAX_DATA}"]
    + ["\x00", "\ud800", "é", "[a.b/c]", "a" * 101, "{" * 50, "model_options"]
    + VALUES
)
MANY = settings(derandomize=True, max_examples=100, deadline=None)


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """A config with pieces cut out, doubled, or replaced by tokens."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 200)))
        piece = " ".join(draw(st.lists(TOKENS, max_size=3)))
        text = text[:start] + draw(st.sampled_from([piece, text[start:stop] * 2])) + text[stop:]
    return text


def read_or_sentence(text: str) -> None:
    """Parses; what cannot be is one sentence that begins with the name of the file."""
    try:
        config = parse_config(text, "given.textproto", {})
    except ValueError as error:
        message = str(error)
        assert type(error) is ValueError
        assert re.match(r"given\.textproto(:\d+)?(: | cannot be read: )", message), message
        assert message.endswith((".", "?"))
        assert len(message) < 1000
        return
    again = experiment_pb2.ExperimentOptions()
    text_format.Parse(text_format.MessageToString(config), again)
    assert again.SerializeToString(deterministic=True) == config.SerializeToString(
        deterministic=True
    )


@given(mutated(OWN))
@MANY
def test_changed_configs(text):
    read_or_sentence(text)


@given(mutated(OLD))
@MANY
def test_changed_configs_of_deeplab2(text):
    read_or_sentence(text)


@given(st.lists(TOKENS, max_size=60).map(" ".join) | st.text(max_size=200))
@MANY
def test_any_text(text):
    read_or_sentence(text)
    try:
        fields = scan_fields(text)
    except ValueError as error:
        assert re.match("it is nested deeper|the name '", str(error))
        return
    for field in fields:
        assert field.path.endswith(re.match(r"\w+", text[field.start : field.stop]).group())
        assert field.line == text.count("\n", 0, field.start) + 1


@given(st.binary(max_size=200) | mutated(OWN).map(lambda text: text.encode("utf-8", "replace")))
@MANY
def test_any_file(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given.textproto")
        path.write_bytes(content)
        try:
            config = load_config(path)
        except ValueError as error:
            assert type(error) is ValueError
            assert str(error).endswith((".", "?"))
        else:
            assert config.experiment_name


PATHS = st.lists(
    st.sampled_from(
        ["trainer_options", "seed", "model_options", "resnet", "depths", "solver_options"]
        + ["kmax_pixel_decoder", "stages", "0", "1", "9", "²", "9" * 5000, "width", "block_type"]
        + ["train_dataset_options", "crop_size", "file_pattern", "experiment_name", "semantic"]
        + ["decode_groundtruth_label", "base_learning_rate", "", "x" * 60_000]
    ),
    min_size=1,
    max_size=5,
).map(".".join)


@given(PATHS, st.sampled_from([*VALUES, "", "1,2", ",", "\ud800"]) | st.text(max_size=20))
@settings(MANY, max_examples=400)
def test_overrides(path, value):
    config = experiment_pb2.ExperimentOptions()
    config.CopyFrom(TINY)
    try:
        apply_override(config, path, value)
    except ValueError as error:
        assert type(error) is ValueError
        assert str(error).startswith(f"`--set {path}")
        assert len(str(error)) < len(path) * 2 + 2000
    else:
        text_format.Parse(text_format.MessageToString(config), experiment_pb2.ExperimentOptions())


@given(st.integers(-(2**33), 2**33), st.floats(allow_nan=False, width=32), st.text(max_size=30))
@MANY
def test_values_come_back_from_overrides(integer, number, name):
    config = experiment_pb2.ExperimentOptions()
    apply_override(config, "trainer_options.solver_options.base_learning_rate", repr(number))
    assert config.trainer_options.solver_options.base_learning_rate == number
    apply_override(config, "trainer_options.solver_options.training_number_of_steps", str(integer))
    assert config.trainer_options.solver_options.training_number_of_steps == integer
    apply_override(config, "experiment_name", name)
    assert config.experiment_name == name

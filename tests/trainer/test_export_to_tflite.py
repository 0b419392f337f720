"""`kmax export --format=tflite` on the tiny model."""

from __future__ import annotations

import json

import pytest

from kmax_tf.build import inference as inference_module
from tests.trainer.tiny_export import BuiltOnce, write_command
from trainer import cli


@pytest.fixture(scope="module")
def built():
    return BuiltOnce()


@pytest.fixture(autouse=True)
def build_once(built, monkeypatch):
    monkeypatch.setattr(inference_module, "build_inference", built)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def command(folder):
    return [*write_command(folder), "--format=tflite"]


def card_of(version):
    text = (version / "assets.extra" / "model_card.json").read_text(encoding="utf-8")
    return json.loads(text)


def test_a_file_that_agrees_with_the_model(command, folder, built, capsys):
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    version = folder / "exports" / "tflite" / "1"
    assert f"Exported {version}" in out
    assert "models.config" not in out  # Of TensorFlow Serving.
    built.check_file("tflite", version)
    card = card_of(version)
    assert card["facts"]["format"].startswith("TensorFlow Lite (builtin operators only)")
    assert card["facts"]["weights stored in"] == "float32"
    assert card["signatures"]["tflite"]["image (input)"] == "float32 [1, 65, 65, 3]"
    assert card["signatures"]["tflite"]["panoptic"] == "int32 [1, 65, 65]"


def test_a_version_is_verified_and_never_written_twice(command, capsys):
    assert cli.main([*command, "--verify"]) == 0
    assert "tflite               1  model    mask_logits" in capsys.readouterr().out
    assert cli.main(command) == 2
    assert "tflite already holds version 1: give `--version=2`" in capsys.readouterr().err
    assert cli.main([*command, "--version=7", "--verify"]) == 2
    assert "tflite/7, none" in capsys.readouterr().err
    assert cli.main([*command, "--version=7", "--input_size=free"]) == 2
    assert "does not go with `--input_size=free`" in capsys.readouterr().err


def test_half_weights(command, folder, capsys):
    assert cli.main([*command, "--precision=float16", "--version=2"]) == 0
    out = capsys.readouterr().out
    assert "DIFFERS" not in out
    assert "What the half type costs: the tflite file against the float32 model" in out
    facts = card_of(folder / "exports" / "tflite" / "2")["facts"]
    assert facts["weights stored in"] == "float16"
    assert facts["computed in"] == "float32"

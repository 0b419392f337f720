"""Flags of `kmax export` that exclude each other are named together."""

from __future__ import annotations

import argparse

import pytest

from kmax_tf.export.network_file import FORMATS as FILES
from trainer.export_flags import FORMATS, check_format, overrides_of


def arguments(**flags) -> argparse.Namespace:
    given = {"format": "tflite", "precision": None, "input_size": None, "set": ["a.b=1"]}
    return argparse.Namespace(**{**given, **flags})


def test_every_format_can_be_chosen():
    assert set(FORMATS) == {"saved_model", *FILES}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"input_size": "free"},
            "`--format=tflite` holds .* `--input_size=free`: give `--input_si",
        ),
        (
            {"precision": "bfloat16"},
            "`--format=tflite` .* `--precision=bfloat16`: .*32 and float16",
        ),
        ({"format": "onnx", "precision": "float16"}, "`--format=onnx` .* accepts float32\\."),
    ],
)
def test_what_does_not_go_together_is_named(flags, message):
    with pytest.raises(ValueError, match=message):
        check_format(arguments(**flags))


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({}, "FLOAT32"),  # Whatever the config says.
        ({"precision": "float16"}, "FLOAT32"),
        ({"format": "saved_model", "precision": "bfloat16"}, "BFLOAT16"),
        ({"format": "saved_model"}, None),
    ],
)
def test_files_compute_in_float32(flags, precision):
    chosen = arguments(**flags)
    check_format(chosen)
    added = [] if precision is None else [f"trainer_options.precision={precision}"]
    assert overrides_of(chosen) == ["a.b=1", *added]

"""`kmax bench` on the tiny config: the table, the JSON object, and mistakes."""

from __future__ import annotations

import json

import pytest

from tests import tiny
from trainer import cli


def _run(*arguments):
    try:
        return cli.main(["bench", f"--config_file={tiny.CONFIG}", *arguments])
    except SystemExit as end:
        return end.code


def test_size_as_a_table_and_as_json(capsys):
    assert _run("--what=size", "--json") == 0
    *table, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result["crop_size"] == [65, 65]
    assert result["batch_size"] == 1
    assert result["precision"] == "float32"
    assert result["gflops"] == 2 * result["multiply_adds_g"] > 0
    counts = [
        result[key]
        for key in (
            "parameters",
            "trainable_parameters",
            "inference_parameters",
            "encoder_parameters",
        )
    ]
    assert counts == sorted(counts, reverse=True)
    assert set(result) == {
        "crop_size", "batch_size", "precision", "tensorflow", "parameters", "trainable_parameters",
        "encoder_parameters", "inference_parameters", "gflops", "multiply_adds_g",
    }  # fmt: skip
    assert any(f"{counts[0]:,}" in line for line in table)
    assert any("a multiply-add being two" in line for line in table)


def test_crop_and_batch_override_the_config(capsys):
    assert _run("--what=size,size", "--crop=129,65", "--batch=2", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["crop_size"] == [129, 65]
    assert result["batch_size"] == 2
    assert _run("--what=size", "--crop=129,65") == 0
    assert f"{result['multiply_adds_g']:.3f} G per image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--what=size,speed"], "accepts size, comma-separated; received 'size,speed'"),
        ([], "--what"),
        (["--what=size", "--crop=65"], "such as 1281,1281; received '65'"),
        (["--what=size", "--crop=65,0"], "'65,0'"),
        (["--what=size", "--batch=0"], "above 0; received '0'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, named, capsys):
    assert _run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kmax: ")
    assert named in captured.err

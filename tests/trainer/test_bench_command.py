"""`kmax bench` on the tiny config: the table, the JSON object, and mistakes."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from tests import tiny
from trainer import bench_command, cli
from trainer.bench import input_pipeline

_ALWAYS = {"crop_size", "batch_size", "precision", "tensorflow"}
_SIZE = {
    "parameters", "trainable_parameters", "encoder_parameters", "inference_parameters", "gflops",
    "multiply_adds_g",
}  # fmt: skip
_SPEED = {
    "forward_s", "post_processing_s", "infer_s", "train_step_s", "first_step_s",
    "input_images_per_s", "peak_memory_gb", "yardstick_forward_s", "yardstick_train_s",
}  # fmt: skip


def _run(*arguments):
    try:
        return cli.main(["bench", f"--config_file={tiny.CONFIG}", *arguments])
    except SystemExit as end:
        return end.code


def _small_yardstick(*, include_top, weights, input_shape):
    assert (include_top, weights) == (False, None)
    convolution = tf.keras.layers.Conv2D(4, 3, strides=2, input_shape=input_shape)
    return tf.keras.Sequential([convolution])


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
    assert set(result) == _ALWAYS | _SIZE
    assert any(f"{counts[0]:,}" in line for line in table)
    assert any("a multiply-add being two" in line for line in table)


def test_crop_and_batch_override_the_config(capsys):
    assert _run("--what=size,size", "--crop=129,64", "--batch=2", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["crop_size"] == [129, 64]
    assert result["batch_size"] == 2
    assert _run("--what=size", "--crop=129,64") == 0
    assert f"{result['multiply_adds_g']:.3f} G per image" in capsys.readouterr().out


def test_everything_that_is_measured_by_default(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(input_pipeline, "_WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(input_pipeline, "_BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(input_pipeline, "_NUM_RECORDS", 8)
    monkeypatch.setattr(tf.keras.applications, "ResNet50", _small_yardstick)
    flags = ["--precision=bfloat16", "--crop=33,65", "--repeats=1", "--steps=2"]
    assert _run(*flags, f"--set=KMAX_DATA={tmp_path}", f"--profile={tmp_path}", "--json") == 0
    *table, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert set(result) == _ALWAYS | _SIZE | _SPEED
    assert result["precision"] == "bfloat16"
    assert result["crop_size"] == [33, 65]
    assert all(result[key] > 0 for key in _SPEED)
    assert result["infer_s"] == result["forward_s"] + result["post_processing_s"]
    multiple = result["train_step_s"] / result["yardstick_train_s"]
    (line,) = [line for line in table if line.startswith("training step  ")]
    assert f"{multiple:.2f} x yardstick forward+backward" in line
    for name in ("train", "infer"):
        folder = tmp_path / "tiny" / name
        assert list(folder.glob("plugins/profile/*/*.xplane.pb"))
        assert any(f"--logdir={folder} " in line for line in table)
    parts = "\n".join(table[table.index("") :])
    # Which ten parts of a step take longest is a matter of the moment; these two are far ahead.
    for part in ("pixel decoder, backward", "post-processing"):
        assert f"  {part} " in parts


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--what=size,speed"], "accepts train, infer, input, size, memory, comma-separated; rece"),
        (["--what=size", "--crop=65"], "such as 1281,1281; received '65'"),
        (["--what=size", "--crop=65,0"], "'65,0'"),
        (["--what=infer", "--crop=64,65"], "`--crop=64,65` does not fit: "),
        (["--what=size", "--batch=0"], "above 0; received '0'"),
        (["--repeats=none"], "above 0; received 'none'"),
        (["--steps=0"], "above 0; received '0'"),
        (["--precision=float8"], "--precision: invalid choice: 'float8'"),
        (["--what=memory", "--memory_budget=0"], "gigabytes above 0; received '0'"),
        (["--memory_budget=16"], "`--memory_budget` needs `--what=memory`; received `--what=train"),
        (["--what=size", "--profile"], "must name train or infer; received `--what=size`"),
    ],
)
def test_mistakes_are_one_sentence(arguments, named, capsys):
    assert _run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kmax: ")
    assert len(captured.err.splitlines()) == 1
    assert named in captured.err


def test_memory_is_measured_only_when_asked_for():
    default = bench_command._measurements(bench_command._DEFAULT_WHAT)
    assert default == [name for name in bench_command.WHAT if name != "memory"]

"""`kmax export --format=onnx` on the tiny model."""

from __future__ import annotations

import pytest

from kmax_tf.build import inference as inference_module
from tests.trainer.tiny_export import BuiltOnce, write_command
from trainer import cli

pytest.importorskip("tf2onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")


def test_a_file_that_agrees_with_the_model(tmp_path, capsys, monkeypatch):
    built = BuiltOnce()
    monkeypatch.setattr(inference_module, "build_inference", built)
    command = [*write_command(tmp_path), "--format=onnx"]
    assert cli.main(command) == 0
    folder = tmp_path / "exports" / "onnx" / "1"
    assert f"Exported {folder}" in capsys.readouterr().out
    built.check_file("onnx", folder)
    assert cli.main([*command, "--verify"]) == 0
    assert "onnx                 1  model    mask_logits" in capsys.readouterr().out

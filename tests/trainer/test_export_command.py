"""`kmax export` on a tiny model, from checkpoint to a verified version folder."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export import export as export_module
from kmax_tf.export.verify import Comparison
from tests import tiny
from trainer import cli


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("run"))


def test_exports_and_verifies(checkpoint, tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    for override in tiny.WITHOUT_THRESHOLDS:
        flags += ["--set", override]
    assert cli.main(["export", *flags, f"--export_dir={tmp_path}", "--version=3"]) == 0
    out = capsys.readouterr().out
    assert f"Exported {tmp_path}/3" in out
    assert "DIFFERS" not in out
    loaded = tf.saved_model.load(str(tmp_path / "3"))
    image = tf.constant(np.random.RandomState(0).randint(0, 255, (2, 30, 80, 3)), tf.uint8)
    outputs = loaded.signatures["image_tensor"](image=image)
    assert outputs["panoptic"].shape == (2, 30, 80)
    assert outputs["segment_id"].shape == (2, 8)
    assert len(np.unique(outputs["panoptic"])) > 1

    assert cli.main(["export", *flags, f"--export_dir={tmp_path}", "--version=3"]) == 2
    assert "already holds version 3" in capsys.readouterr().err


def test_a_difference_is_loud(checkpoint, tmp_path, capsys, monkeypatch):
    wrong = [Comparison("image_tensor", 1, "panoptic", 0.5, 1e-4)]
    monkeypatch.setattr(export_module, "verify_saved_model", lambda *_, **__: wrong)
    monkeypatch.setattr(export_module, "_write", lambda *_: None)
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    assert cli.main(["export", *flags, f"--export_dir={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out
    assert "nothing was exported" in out
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_is_one_sentence(tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", "--checkpoint=none", f"--export_dir={tmp_path}"]
    assert cli.main(["export", *flags]) == 2
    assert "kmax: There is no checkpoint none" in capsys.readouterr().err

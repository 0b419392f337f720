from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from tests.trainer import toy
from trainer import check


def test_check_prints_sizes_and_writes_nothing(run, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(check, "build_model", lambda config: toy.ToyModel())
    assert run("--check") == 0
    shown = capfd.readouterr().out
    assert "training data: 6 records, read as 65x65, 2 a batch" in shown
    assert "evaluation data: 3 records" in shown
    assert "steps        4 of 2 images = 1.3 epochs" in shown
    assert "parameters   30 in 6 variables" in shown
    assert not (tmp_path / "run").exists()


def test_check_loads_the_initial_weights(run, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(check, "build_model", lambda config: toy.ToyModel())
    prefix = tf.train.Checkpoint(model=toy.ToyModel()).write(str(tmp_path / "ckpt"))
    assert run("--check", "--set", f"model_options.initial_checkpoint={prefix}") == 0
    shown = capfd.readouterr().out
    assert "weights      Loaded " in shown
    assert prefix in shown
    assert run("--check", "--set", "model_options.initial_checkpoint=none") == 2
    assert "There is no checkpoint none" in capfd.readouterr().err


class _Layers(tf.keras.Model):
    """A 3x3 convolution to 5 channels without bias, its result is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = tf.keras.layers.Conv2D(5, 3, padding="same", use_bias=False)
        self(tf.zeros([1, 2, 2, 3]))

    def call(self, images, training=False):
        return tf.nn.relu(self.conv(images))


def test_memory_counts_weights_slots_gradients_and_activations(repository_root):
    config = load_config(repository_root / "configs" / "test" / "tiny.textproto")
    memory = check.estimate_memory(_Layers(), config)
    weights = 3 * 3 * 3 * 5
    assert memory["weights and slots"] == 4 * 4 * weights
    # Convolution and activation, 4 bytes each, at 65x65 for a batch of 2.
    assert memory["activations"] == pytest.approx(2 * 4 * 2 * 65 * 65 * 5)

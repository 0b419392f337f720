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


def test_check_counts_the_devices_that_are_asked_for(run, capfd, monkeypatch):
    monkeypatch.setattr(check, "build_model", lambda config: toy.ToyModel())
    several = ("--check", "--workers=a:1,b:1", "--worker_index=0", "--num_gpus=3")
    assert run(*several) == 2
    error = capfd.readouterr().err
    assert "`train_dataset_options.batch_size` must be a multiple of the number of devices (6)" in (
        error
    )
    assert run(*several, "--set=train_dataset_options.batch_size=12") == 0
    assert "devices      6, 2 images each" in capfd.readouterr().out


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


def _memory(repository_root, *overrides):
    config = load_config(repository_root / "configs" / "test" / "tiny.textproto", overrides)
    return check.estimate_memory(_Layers(), config)


def test_memory_counts_weights_slots_gradients_and_activations(repository_root):
    memory = _memory(repository_root)
    weights = 4 * 3 * 3 * 3 * 5
    assert memory["weights and slots"] == 4 * weights
    # The activation and the gradients of both: 4 bytes each, at 65x65 for 2 images.
    map_size = 4 * 2 * 65 * 65 * 5
    assert memory["activations"] == pytest.approx(3 * map_size, rel=0.01)
    sgd = _memory(repository_root, "trainer_options.solver_options.optimizer=SGD")
    assert sgd["weights and slots"] == 3 * weights
    averaged = _memory(repository_root, "trainer_options.ema_decay=0.99")
    assert averaged["weights and slots"] == 5 * weights
    in_parts = _memory(repository_root, "trainer_options.accumulation_steps=2")
    assert in_parts["weights and slots"] == 5 * weights
    assert in_parts["activations"] == pytest.approx(memory["activations"] / 2, rel=0.01)


def test_what_the_config_changes_is_said(run, capfd, monkeypatch):
    monkeypatch.setattr(check, "build_model", lambda config: toy.ToyModel())
    parts = "--set=trainer_options.accumulation_steps=2"
    rule = "--set=trainer_options.solver_options.reference_batch_size=8"
    rate = "--set=trainer_options.solver_options.base_learning_rate=0.5"
    recompute = "--set=trainer_options.recompute=true"
    assert run("--check", parts, rule, rate, recompute) == 0
    shown = capfd.readouterr().out
    assert "learning     rate 0.125 = 0.5 * batch size 2 / 8" in shown
    assert "for 1 of 2 images at a time, recomputed (rough" in shown
    assert run("--check", "--set=trainer_options.accumulation_steps=3") == 2
    assert "must be a multiple" in capfd.readouterr().err

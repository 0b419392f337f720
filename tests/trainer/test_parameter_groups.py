from __future__ import annotations

import json

import pytest
import tensorflow as tf

from trainer.parameter_groups import collect_parameters, is_decayed


def test_decay_follows_the_names_of_the_reference(golden):
    case = json.loads((golden / "solver" / "optimizer.json").read_text())["adamw_wd_noclip"]
    assert {name: is_decayed(name) for name in case["decayed"]} == case["decayed"]
    assert not is_decayed("layer/weights:0")
    assert not is_decayed("layer/kernel_1:0")


class _Toy(tf.keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.pixel_encoder = tf.keras.Sequential([tf.keras.layers.Dense(2, name="stem")])
        self.head = tf.keras.layers.Dense(3, name="head")
        self.norm = tf.keras.layers.BatchNormalization(name="norm")

    def call(self, inputs):
        return self.norm(self.head(self.pixel_encoder(inputs)))


def test_the_pixel_encoder_has_its_own_rate():
    model = _Toy()
    model(tf.zeros([1, 2]))
    parameters = collect_parameters(model, pixel_encoder_multiplier=0.1)
    assert len(parameters) == len(model.trainable_variables) == 6
    by_path = {p.path: p for p in parameters}
    assert by_path["head/kernel"].learning_rate_multiplier == 1.0
    assert by_path["head/kernel"].decayed
    assert not by_path["head/bias"].decayed
    assert not by_path["norm/gamma"].decayed
    encoder = [p for p in parameters if p.path.startswith("pixel_encoder/")]
    assert [p.learning_rate_multiplier for p in encoder] == [0.1, 0.1]
    assert "norm/moving_mean" not in by_path


class _Hiding(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pixel_encoder = tf.Module()

    @property
    def trainable_variables(self):
        return [tf.Variable(1.0, name="hidden")]


def test_a_variable_that_cannot_be_saved_is_an_error():
    with pytest.raises(ValueError, match="hidden"):
        collect_parameters(_Hiding(), pixel_encoder_multiplier=1.0)

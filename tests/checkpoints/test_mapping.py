from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.checkpoints import mapping


@pytest.fixture
def model() -> tf.keras.Model:
    class Inner(tf.keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stages = {"a/b": tf.keras.layers.Dense(2), "c.d": tf.keras.layers.Dense(2)}
            self.blocks = [tf.keras.layers.BatchNormalization() for _ in range(2)]

        def call(self, inputs):
            for layer in (*self.stages.values(), *self.blocks):
                inputs = layer(inputs)
            return inputs

    class Toy(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.pixel_encoder = Inner()
            self.shortcut = self.pixel_encoder.blocks[1]

        def call(self, inputs):
            return self.pixel_encoder(inputs)

    toy = Toy()
    toy(tf.zeros([1, 2]))
    return toy


def test_paths_are_those_of_tensorflow_checkpoints(model, tmp_path):
    prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
    names = {name for name, _ in tf.train.list_variables(prefix) if name.startswith("model/")}
    paths = mapping.variables_by_path(model)
    assert {mapping.own_name(path) for path in paths} == names
    assert len(paths) == 4 + 2 * 4
    assert any(path.startswith("shortcut/") for path in paths)


def test_compare_sorts_variables_into_four_kinds():
    variables = {"a": tf.Variable([1.0]), "b": tf.Variable([1.0]), "c": tf.Variable([1.0])}
    shapes = {"A": [1], "B": [2], "D": [1]}
    comparison = mapping.compare(variables, shapes, name_of_path=str.upper)
    assert comparison.fitting == {"a": "A"}
    assert comparison.missing == ("c",)
    assert comparison.unused == ("D",)
    assert comparison.mismatched == {"b": "b: [1] in the model, [2] in the file"}


def test_shapes_may_be_turned_into_our_layout():
    variables = {"a": tf.Variable(tf.zeros([2, 3]))}
    turned = mapping.compare(variables, {"a": [3, 2]}, str, lambda path, shape: shape[::-1])
    assert turned.fitting == {"a": "a"}

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints.loading import find_checkpoint, load_checkpoint


class _Toy(tf.keras.Model):
    def __init__(self, classes: int, with_extra: bool = False) -> None:
        super().__init__()
        self.body = tf.keras.layers.Dense(2)
        self.head = tf.keras.layers.Dense(classes)
        self.extra = tf.keras.layers.Dense(2) if with_extra else None
        self(tf.zeros([1, 2]))

    def call(self, inputs):
        if self.extra is not None:
            inputs = self.extra(inputs)
        return self.head(self.body(inputs))


def _save(model, folder, name="ckpt-7"):
    step = tf.Variable(7, dtype=tf.int64)
    slots = {"m": {"body/kernel": tf.Variable(1.0)}}
    checkpoint = tf.train.Checkpoint(model=model, optimizer=slots, global_step=step)
    manager = tf.train.CheckpointManager(checkpoint, str(folder), 2, checkpoint_name="ckpt")
    return manager.save(checkpoint_number=7)


def test_a_checkpoint_of_training_loads_by_prefix_and_by_folder(tmp_path):
    saved, first, second = _Toy(3), _Toy(3), _Toy(3)
    prefix = _save(saved, tmp_path)
    report = load_checkpoint(first, prefix)
    load_checkpoint(second, tmp_path)
    assert set(report.loaded) == {"body/kernel", "body/bias", "head/kernel", "head/bias"}
    assert report.missing == report.unused == report.mismatched == ()
    for model in (first, second):
        for expected, value in zip(saved.variables, model.variables):
            np.testing.assert_array_equal(expected.numpy(), value.numpy())


def test_a_checkpoint_of_a_model_alone_loads(tmp_path):
    saved, other = _Toy(3), _Toy(3)
    tf.train.Checkpoint(model=saved).write(str(tmp_path / "weights"))
    load_checkpoint(other, tmp_path / "weights")
    np.testing.assert_array_equal(other.body.kernel.numpy(), saved.body.kernel.numpy())


def test_another_model_is_refused_and_left_alone(tmp_path):
    prefix = _save(_Toy(3), tmp_path)
    other = _Toy(5, with_extra=True)
    before = [v.numpy() for v in other.variables]
    with pytest.raises(ValueError, match="another model") as error:
        load_checkpoint(other, prefix)
    message = str(error.value)
    assert "extra/kernel" in message
    assert "head/kernel: [2, 5] in the model, [2, 3] in the file" in message
    assert "\n" not in message
    for value, variable in zip(before, other.variables):
        np.testing.assert_array_equal(value, variable.numpy())


def test_excused_parts_keep_their_values(tmp_path):
    saved = _Toy(3)
    prefix = _save(saved, tmp_path)
    other = _Toy(5)
    head = other.head.kernel.numpy()
    report = load_checkpoint(other, prefix, allow_missing=["head"])
    assert set(report.loaded) == {"body/kernel", "body/bias"}
    assert len(report.mismatched) == 2
    np.testing.assert_array_equal(other.head.kernel.numpy(), head)
    np.testing.assert_array_equal(other.body.kernel.numpy(), saved.body.kernel.numpy())


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        find_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint .*ckpt-9"):
        find_checkpoint(tmp_path / "ckpt-9")
    (tmp_path / "bad.index").write_bytes(b"no table")
    with pytest.raises(ValueError, match="bad cannot be read"):
        load_checkpoint(_Toy(3), tmp_path / "bad")


def test_a_cut_off_data_file_changes_nothing(tmp_path):
    prefix = _save(_Toy(3), tmp_path)
    data = next(tmp_path.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:20])
    model = _Toy(3)
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(ValueError, match=r"ckpt-7.*cannot be read"):
        load_checkpoint(model, prefix)
    for expected, variable in zip(before, model.variables):
        np.testing.assert_array_equal(variable.numpy(), expected)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints import writing
from kmax_tf.checkpoints.loading import load_checkpoint
from tests.checkpoints import toy


def _names(prefix):
    names = {name for name, _ in tf.train.list_variables(str(prefix))}
    return {name.replace(toy.SUFFIX, "") for name in names - {"_CHECKPOINTABLE_OBJECT_GRAPH"}}


def test_a_round_trip_gives_the_same_file(tmp_path):
    values = toy.arrays()
    original = toy.write(tmp_path / "a", toy.deeplab2_names(values), trained=True)
    first, second = toy.model(), toy.model()
    load_checkpoint(first, original)
    steps = {"global_step": 150000, "save_counter": 7}
    assert writing.write_model(str(tmp_path / "own" / "b"), first, steps=steps) == len(values)
    assert _names(tmp_path / "own" / "b") == {*(f"model/{path}" for path in toy.KMAX), *steps}
    load_checkpoint(second, tmp_path / "own")
    writing.write_model(str(tmp_path / "c"), second, steps=steps, deeplab2_names=True)
    assert _names(tmp_path / "c") == {*toy.DEEPLAB2.values(), *steps}
    before, after = (tf.train.load_checkpoint(str(tmp_path / name)) for name in "ac")
    for name in _names(tmp_path / "c"):
        a, c = before.get_tensor(name + toy.SUFFIX), after.get_tensor(name + toy.SUFFIX)
        assert a.dtype == c.dtype
        np.testing.assert_array_equal(a, c)


def test_deeplab2_restores_parts_of_it_by_its_objects(tmp_path):
    values = toy.arrays()
    model = toy.model()
    load_checkpoint(model, toy.write(tmp_path / "a", toy.deeplab2_names(values)))
    prefix = str(tmp_path / "b")
    writing.write_model(prefix, model, steps={"global_step": 5}, deeplab2_names=True)
    # As deeplab2's trainer restores: root items whose attributes lead to variables.
    names = {name: a.shape for name, a in toy.deeplab2_names(values).items()}
    theirs = toy.model(names)
    step = tf.Variable(0, dtype=tf.int64)
    items = {"encoder": theirs.encoder, "pixel_decoder": theirs.pixel_decoder, "global_step": step}
    status = tf.train.Checkpoint(**items).read(prefix).expect_partial()
    status.assert_existing_objects_matched()
    kernel = theirs.encoder._stem._conv.kernel
    np.testing.assert_array_equal(kernel, values["pixel_encoder/stem/kernel"])
    assert step.numpy() == 5


def test_some_variables_and_escaped_names(tmp_path):
    model = tf.Module()
    model.parts = tf.Module()
    setattr(model.parts, "a/b.c", tf.Variable([1.0]))
    model.other = tf.Variable([2.0])
    paths = ["parts/a.Sb..c"]
    assert writing.write_model(str(tmp_path / "a"), model, steps={}, paths=paths) == 1
    assert _names(tmp_path / "a") == {"model/parts/a.Sb..c"}


def test_checkpoints_are_replaced_only_on_request(tmp_path):
    model, prefix = toy.model(), str(tmp_path / "a")
    writing.write_model(prefix, model, steps={})
    model.pixel_encoder.stem.kernel.assign_add(tf.ones([7, 7, 3, 2]))
    with pytest.raises(ValueError, match="give `--overwrite`"):
        writing.write_model(prefix, model, steps={})
    writing.write_model(prefix, model, steps={}, overwrite=True)
    value = tf.train.load_variable(prefix, "model/pixel_encoder/stem/kernel" + toy.SUFFIX)
    np.testing.assert_array_equal(value, np.zeros([7, 7, 3, 2]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.data-00000-of-00001", "a.index"]


def test_nothing_is_left_of_an_interrupted_write(tmp_path, monkeypatch):
    def fail(self, prefix):
        (tmp_path / "touched").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.train.Checkpoint, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        writing.write_model(str(tmp_path / "a"), toy.model(), steps={})
    assert [p.name for p in tmp_path.iterdir()] == ["touched"]


def test_a_folder_is_no_prefix(tmp_path):
    for folder in (str(tmp_path), f"{tmp_path}/new/"):
        with pytest.raises(ValueError, match=r"prefix of a checkpoint, .*/ckpt for"):
            writing.require_writable_prefix(folder, overwrite=True)

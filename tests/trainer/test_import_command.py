from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.loading import load_checkpoint
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.checkpoints import toy
from trainer import cli

CONFIG = "configs/test/tiny.textproto"


@functools.cache
def _model() -> tf.keras.Model:
    return build_model(load_config(CONFIG))


@pytest.fixture(autouse=True)
def _built_once(monkeypatch):
    """The command builds the model of the config again and again otherwise."""
    monkeypatch.setattr("kmax_tf.build.model.build_model", lambda config: _model())


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """A trained deeplab2 checkpoint of the tiny model."""
    return toy.write(tmp_path_factory.mktemp("deeplab2") / "ckpt-9", _values(), trained=True)


def _values():
    rng = np.random.default_rng(0)
    return {
        deeplab2_name(path).replace(toy.SUFFIX, ""): rng.normal(size=v.shape).astype(np.float32)
        for path, v in variables_by_path(_model()).items()
    }


@pytest.fixture
def run(capfd):
    def start(*arguments: str):
        capfd.readouterr()
        code = cli.main(["import", f"--config_file={CONFIG}", *map(str, arguments)])
        captured = capfd.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("kmax: ")]
        return code, captured.out, errors

    return start


def _reset():
    for variable in _model().variables:
        variable.assign(tf.zeros_like(variable))


def test_deeplab2_to_ours_and_back(run, source, tmp_path):
    code, out, errors = run(source, f"--output={tmp_path}/own/ckpt")
    assert (code, errors) == (0, [])
    count = len(variables_by_path(_model()))
    assert f"{source}: deeplab2 checkpoint" in out
    assert f"Wrote {tmp_path}/own/ckpt: {count} variables in the layout of kmax_tf." in out

    code, out, _ = run(tmp_path / "own", f"--output={tmp_path}/back", "--format=deeplab2")
    assert code == 0
    before, after = (tf.train.load_checkpoint(p) for p in (source, str(tmp_path / "back")))
    names = set(after.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    steps = {"global_step", "save_counter"}
    assert {name.replace(toy.SUFFIX, "") for name in names} == {*_values(), *steps}
    for name in names:
        np.testing.assert_array_equal(before.get_tensor(name), after.get_tensor(name))
    _reset()
    report = load_checkpoint(_model(), tmp_path / "own")
    assert len(report.loaded) == count
    kernel = _model().pixel_encoder.stem.kernel.numpy()
    np.testing.assert_array_equal(kernel, _values()["encoder/_stem/_conv/kernel"])


def test_an_encoder_alone_stays_alone(run, tmp_path):
    values = {name: value for name, value in _values().items() if name.startswith("encoder/")}
    encoder = toy.write(tmp_path / "encoder", {**values, "head/kernel": np.float32(0.0)})
    code, out, _ = run(encoder, f"--output={tmp_path}/own")
    assert code == 0
    assert "the pixel encoder alone, for `model_options.initial_checkpoint`" in out
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "own"))]
    assert len(names) == len(values) + 1
    assert all(name.startswith(("model/pixel_encoder/", "_")) for name in names)
    code, out, _ = run(encoder, f"--output={tmp_path}/again", "--allow_missing=heads")
    assert code == 0
    assert "the pixel encoder alone, for" in out


def test_every_exception_has_to_be_asked_for(run, source, tmp_path):
    values = _values()
    del values["semantic_last_layer/bias"], values["pixel_space_mask_batch_norm/gamma"]
    less = toy.write(tmp_path / "less", values)
    code, out, errors = run(less, f"--output={tmp_path}/a", "--allow_missing=heads")
    assert code == 2
    assert "fitting     missing" in out
    assert "  mask_head/mask_norm/gamma" in out
    assert len(errors) == 1
    assert "mask head: 1 missing in the file (mask_head/mask_norm/gamma)" in errors[0]
    assert not list(tmp_path.glob("a*"))

    _reset()
    exceptions = "--allow_missing=heads,mask_head/mask_norm"
    code, out, _ = run(less, f"--output={tmp_path}/a", exceptions, "--verbose")
    assert code == 0
    assert "missing:\n  mask_head/mask_norm/gamma\nreset:\n" in out
    assert "  semantic_head/projection/bias" in out
    written = tf.train.load_checkpoint(str(tmp_path / "a"))
    kernel = f"model/semantic_head/projection/kernel{toy.SUFFIX}"
    assert not np.any(written.get_tensor(kernel))  # its initial value here


def test_mistakes_are_one_sentence(run, source, tmp_path):
    output = f"--output={tmp_path}/a"
    for arguments, named in (
        ((tmp_path / "nowhere", output), "nowhere"),
        ((source, f"--output={tmp_path}"), "needs the prefix of a checkpoint"),
        ((source, output, "--allow_missing=hed"), "received 'hed'"),
        ((source, f"--output={source}.index/a"), "cannot be written: Not a directory"),
    ):
        code, _, errors = run(*arguments)
        assert code == 2
        assert len(errors) == 1
        assert named in errors[0]
    assert run(source, output)[0] == 0
    assert "--overwrite" in run(source, output)[2][0]
    assert run(source, output, "--overwrite")[0] == 0

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints import convnext_weights
from kmax_tf.checkpoints.loading import (
    MisfitError,
    load_checkpoint,
    load_encoder_weights,
    load_initial_checkpoint,
)
from kmax_tf.checkpoints.mapping import variables_by_path
from kmax_tf.pixel_encoders.convnext import ConvNeXt
from tests.checkpoints import toy


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


def test_averaged_weights_are_loaded_unless_the_raw_ones_are_asked_for(tmp_path):
    raw, averaged, model = _Toy(3), _Toy(3), _Toy(3)
    prefix = tf.train.Checkpoint(model=raw, average=averaged).write(str(tmp_path / "a"))
    for load, source in (
        (load_checkpoint, averaged),
        (load_initial_checkpoint, averaged),
        (functools.partial(load_checkpoint, raw_weights=True), raw),
    ):
        report = load(model, prefix)
        assert ("moving average of the weights" in report.format) == (source is averaged)
        assert report.missing == report.unused == report.mismatched == ()
        for value, expected in zip(model.variables, source.variables):
            np.testing.assert_array_equal(value.numpy(), expected.numpy())


def _assert_values(model, expected, untouched=()):
    for path, variable in variables_by_path(model).items():
        if path in untouched:
            np.testing.assert_array_equal(variable, np.full(variable.shape, -1.0), path)
        else:
            np.testing.assert_array_equal(variable, expected[path], path)


def test_a_checkpoint_of_training_loads_by_prefix_and_by_folder(tmp_path):
    saved, first, second = _Toy(3), _Toy(3), _Toy(3)
    prefix = _save(saved, tmp_path)
    report = load_checkpoint(first, prefix)
    load_checkpoint(second, tmp_path)
    assert set(report.loaded) == {"body/kernel", "body/bias", "head/kernel", "head/bias"}
    assert report.missing == report.unused == report.mismatched == report.reset == ()
    for model in (first, second):
        for expected, value in zip(saved.variables, model.variables):
            np.testing.assert_array_equal(expected.numpy(), value.numpy())


def test_a_checkpoint_of_a_model_alone_loads(tmp_path):
    saved, other = _Toy(3), _Toy(3)
    tf.train.Checkpoint(model=saved).write(str(tmp_path / "weights"))
    load_checkpoint(other, tmp_path / "weights")
    np.testing.assert_array_equal(other.body.kernel.numpy(), saved.body.kernel.numpy())


@pytest.mark.parametrize("root", ["model/", ""])
def test_our_names_load(tmp_path, root):
    values, model = toy.arrays(), toy.model()
    prefix = toy.write(tmp_path / "ckpt", {root + path: a for path, a in values.items()})
    report = load_checkpoint(model, prefix)
    assert set(report.loaded) == set(toy.KMAX)
    assert "kmax_tf" in report.format
    _assert_values(model, values)


def test_a_trained_deeplab2_checkpoint_loads_with_everything_accounted_for(tmp_path):
    values, model = toy.arrays(), toy.model()
    prefix = toy.write(tmp_path / "ckpt-150000", toy.deeplab2_names(values), trained=True)
    report = load_checkpoint(model, prefix)
    assert set(report.loaded) == set(toy.KMAX)
    assert report.missing == report.unused == report.mismatched == ()
    assert report.format == "deeplab2 checkpoint"
    _assert_values(model, values)


def test_another_model_is_refused_and_left_alone(tmp_path):
    prefix = _save(_Toy(3), tmp_path)
    other = _Toy(5, with_extra=True)
    before = [v.numpy() for v in other.variables]
    with pytest.raises(ValueError, match="another model") as error:
        load_checkpoint(other, prefix)
    message = str(error.value)
    assert "extra: 2 missing in the file" in message
    assert "head: 2 of another shape (head/" in message
    assert "[2, 5] in the model, [2, 3] in the file" in message
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
    assert set(report.new) == {"head/kernel", "head/bias"}
    np.testing.assert_array_equal(other.head.kernel.numpy(), head)
    np.testing.assert_array_equal(other.body.kernel.numpy(), saved.body.kernel.numpy())


@pytest.mark.parametrize("classes", [4, 7])
def test_heads_start_anew_even_where_they_would_fit(tmp_path, classes):
    values = toy.arrays()
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(values), trained=True)
    shapes = {
        path: (*shape[:-1], shape[-1] + classes - 4) if path in toy.HEADS else shape
        for path, shape in toy.KMAX.items()
    }
    model = toy.model(shapes)
    report = load_checkpoint(model, prefix, allow_missing=["heads"])
    assert set(report.reset) == toy.HEADS
    assert report.missing == report.mismatched == ()
    assert set(report.loaded) == set(toy.KMAX) - toy.HEADS
    _assert_values(model, values, untouched=toy.HEADS)


def test_the_last_semantic_layer_starts_anew_even_where_it_would_fit(tmp_path):
    values, model = toy.arrays(), toy.model()
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(values), trained=True)
    report = load_checkpoint(model, prefix, allow_missing=["semantic_last_layer"])
    assert report.reset == ("semantic_head/projection/kernel",)
    _assert_values(model, values, untouched=report.reset)


def test_another_number_of_classes_names_the_flag(tmp_path):
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(toy.arrays()))
    model = toy.model({**toy.KMAX, "mask_head/class_projection/bias": (9,)})
    with pytest.raises(MisfitError, match=r"number of classes alone: `--allow_missing=heads`"):
        load_checkpoint(model, prefix)
    model = toy.model({**toy.KMAX, "pixel_decoder/input_norms/0/gamma": (3,)})
    with pytest.raises(
        MisfitError, match=r"\(.*gamma: \[3\] in the model, \[2\] in the file\)"
    ) as error:
        load_checkpoint(model, prefix)
    assert "allow_missing" not in str(error.value)
    assert error.value.report.mismatched


def test_parts_that_only_the_file_has_are_excused_by_our_name(tmp_path):
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(toy.arrays()))
    shapes = {path: s for path, s in toy.KMAX.items() if not path.startswith("semantic_head")}
    with pytest.raises(MisfitError, match=r"semantic head: 1 unknown to the model"):
        load_checkpoint(toy.model(shapes), prefix)
    report = load_checkpoint(toy.model(shapes), prefix, allow_missing=["semantic_head"])
    assert len(report.unused) == 1


@pytest.mark.parametrize("root", ["encoder/", "backbone/_encoder/"])
def test_an_initial_checkpoint_may_hold_the_encoder_alone(tmp_path, root):
    values, model = toy.arrays(), toy.model()
    named = {toy.DEEPLAB2[path].replace("encoder/", root, 1): values[path] for path in toy.ENCODER}
    leftovers = {"model/head/kernel": np.zeros([2, 1000], np.float32)}
    prefix = toy.write(tmp_path / "ckpt", {**named, **leftovers}, trained=True)
    report = load_initial_checkpoint(model, prefix)
    assert set(report.loaded) == toy.ENCODER
    assert set(report.missing) == set(toy.KMAX) - toy.ENCODER
    assert report.unused == ("model/head/kernel" + toy.SUFFIX,)
    assert report.encoder_alone
    _assert_values(model, values, untouched=set(toy.KMAX) - toy.ENCODER)
    for exceptions in ([], ["heads"]):
        with pytest.raises(MisfitError, match="holds the pixel encoder alone"):
            load_checkpoint(toy.model(), prefix, allow_missing=exceptions)


@pytest.mark.parametrize("exceptions", [[], ["heads"]])
def test_an_encoder_of_a_size_of_its_own_is_called_so(tmp_path, exceptions):
    values = toy.arrays({path: (*toy.KMAX[path][:-1], 3) for path in toy.ENCODER})
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(values))
    with pytest.raises(MisfitError, match="it looks like an encoder of a size of its own"):
        load_initial_checkpoint(toy.model(), prefix, allow_missing=exceptions)
    with pytest.raises(MisfitError, match="it looks like an encoder of a size of its own"):
        load_checkpoint(toy.model(), prefix, allow_missing=exceptions)


def test_inside_the_encoder_an_initial_checkpoint_is_strict(tmp_path):
    values = toy.arrays()
    named = {toy.DEEPLAB2[path]: values[path] for path in toy.ENCODER}
    more = {
        "encoder/_stage2/_block2/_conv1_bn_act/_conv/kernel": values["mask_head/mask_norm/gamma"]
    }
    model = toy.model()
    prefix = toy.write(tmp_path / "more", {**named, **more})
    with pytest.raises(
        MisfitError, match=r"pixel encoder: 1 unknown to the model \(encoder/_stage2"
    ):
        load_initial_checkpoint(model, prefix)
    del named["encoder/_stem/_batch_norm/gamma"]
    prefix = toy.write(tmp_path / "less", named)
    with pytest.raises(MisfitError, match=r"pixel encoder: 1 missing .*stem/norm/gamma"):
        load_initial_checkpoint(model, prefix)
    _assert_values(model, {}, untouched=toy.KMAX)


def test_a_whole_initial_checkpoint_is_strict_everywhere(tmp_path):
    values = toy.arrays()
    del values["mask_head/mask_norm/gamma"]
    prefix = toy.write(tmp_path / "ckpt", toy.deeplab2_names(values))
    with pytest.raises(MisfitError, match="mask head: 1 missing"):
        load_initial_checkpoint(toy.model(), prefix)


@pytest.mark.parametrize("kind", ["deeplab2", "own", "keras", "own encoder", "deeplab2 encoder"])
def test_an_encoder_used_alone_takes_its_part_of_any_file(tmp_path, kind):
    values = toy.arrays()
    of_encoder = {path: values[path] for path in toy.ENCODER}
    named = {
        "deeplab2": toy.deeplab2_names(values),
        "own": {"model/" + path: value for path, value in values.items()},
        "deeplab2 encoder": toy.deeplab2_names(of_encoder),
        "keras": {
            name[len("encoder/") :]: value for name, value in toy.deeplab2_names(of_encoder).items()
        },
        "own encoder": {path[len("pixel_encoder/") :]: v for path, v in of_encoder.items()},
    }[kind]
    model = toy.model()
    report = load_encoder_weights(model.pixel_encoder, toy.write(tmp_path / "ckpt", named))
    assert set(report.loaded) == toy.ENCODER
    assert report.missing == ()
    assert len(report.unused) == len(named) - len(toy.ENCODER)
    _assert_values(model, values, untouched=set(toy.KMAX) - toy.ENCODER)


@pytest.mark.parametrize("form", ["timm", "authors"])
def test_convnext_weights_of_others(tmp_path, form):
    safetensors = pytest.importorskip("safetensors.numpy")
    encoder = ConvNeXt(depths=(1, 1, 1, 1), widths=(2, 2, 2, 2), drop_path_keep_prob=1.0)
    encoder(tf.zeros([1, 32, 32, 3]))
    layout = {
        "timm": ("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"),
        "authors": ("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"),
    }[form]
    name_of_path = convnext_weights.name_of_path(layout)
    rng = np.random.default_rng(0)
    file, expected = {"head.bias": np.zeros(1000, np.float32)}, {}
    for path, variable in variables_by_path(encoder).items():
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(variable.shape)]
        value = rng.normal(size=variable.shape).astype(np.float32)
        theirs = value.reshape(-1) if path.endswith("layer_scale") else value.transpose(axes)
        file[name_of_path(path)] = np.ascontiguousarray(theirs)
        expected[path] = value
    safetensors.save_file(file, tmp_path / "convnext.safetensors")
    report = load_encoder_weights(encoder, tmp_path / "convnext.safetensors")
    assert report.unused == ("head.bias",)
    assert len(report.loaded) == len(expected)
    for path, variable in variables_by_path(encoder).items():
        np.testing.assert_array_equal(variable, expected[path], path)
    deeper = ConvNeXt(depths=(1, 1, 2, 1), widths=(2, 2, 2, 2), drop_path_keep_prob=1.0)
    deeper(tf.zeros([1, 32, 32, 3]))
    with pytest.raises(MisfitError, match="pixel encoder: 9 missing"):
        load_encoder_weights(deeper, tmp_path / "convnext.safetensors")


def test_an_encoder_without_variables_is_named(tmp_path):
    with pytest.raises(ValueError, match="no variables yet"):
        load_encoder_weights(tf.keras.layers.Dense(2), tmp_path)


def test_a_cut_off_data_file_changes_nothing(tmp_path):
    prefix = toy.write(tmp_path / "ckpt-7", toy.deeplab2_names(toy.arrays()))
    data = next(tmp_path.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:-4])
    model = toy.model()
    with pytest.raises(ValueError, match=r"ckpt-7 cannot be read, .* may be incomplete"):
        load_checkpoint(model, prefix)
    _assert_values(model, {}, untouched=toy.KMAX)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints.formats import open_source
from tests.checkpoints import toy


def test_what_is_not_of_the_model_is_left_out(tmp_path):
    prefix = toy.write(tmp_path / "a", toy.deeplab2_names(toy.arrays()), trained=True)
    source = open_source(prefix)
    assert set(source.shapes) == {name + toy.SUFFIX for name in toy.DEEPLAB2.values()}
    assert source.steps == {"global_step": 150000, "save_counter": 7}
    assert not source.encoder_alone
    assert source.shape("transformer_decoder/cluster_centers") == (1, 8, 2)
    assert source.shape("no/such") is None


def test_arrays_come_by_our_paths(tmp_path):
    values = toy.arrays()
    source = open_source(toy.write(tmp_path / "a", toy.deeplab2_names(values)))
    read = source.read(["mask_head/mask_norm/gamma", "pixel_encoder/stem/kernel"])
    assert len(read) == 2
    for path, array in read.items():
        np.testing.assert_array_equal(array, values[path])


def test_averaged_weights_come_first(tmp_path):
    raw, averaged = toy.model(fill=1.0), toy.model(fill=2.0)
    slots = {"m": {"stem": tf.Variable(0.0)}}
    checkpoint = tf.train.Checkpoint(model=raw, average=averaged, optimizer=slots)
    prefix = checkpoint.write(str(tmp_path / "a"))
    path = "pixel_encoder/stem/kernel"
    source = open_source(prefix)
    assert source.format == "checkpoint of kmax_tf, moving average of the weights"
    assert set(source.shapes) == {f"average/{p}{toy.SUFFIX}" for p in toy.KMAX}
    assert (source.read([path])[path] == 2.0).all()
    assert not source.encoder_alone
    assert source.is_encoder(f"average/{path}{toy.SUFFIX}")
    source = open_source(prefix, raw_weights=True)
    assert source.format == "checkpoint of kmax_tf"
    assert set(source.shapes) == {f"model/{p}{toy.SUFFIX}" for p in toy.KMAX}
    assert (source.read([path])[path] == 1.0).all()


def test_an_encoder_saved_by_tensorflow(tmp_path):
    encoder = toy.model().pixel_encoder
    source = open_source(tf.train.Checkpoint(encoder).write(str(tmp_path / "a")))
    assert source.encoder_alone
    assert source.shape("pixel_encoder/stem/kernel") == (7, 7, 3, 2)


def test_convnext_weights_are_turned_into_our_layout(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {
        "stem.0.weight": np.arange(96.0, dtype=np.float32).reshape(2, 3, 4, 4),
        "stages.0.blocks.0.conv_dw.weight": np.ones([2, 1, 7, 7], np.float32),
        "head.fc.weight": np.ones([1000, 2], np.float32),
    }
    safetensors.save_file(arrays, tmp_path / "tiny.safetensors")
    source = open_source(tmp_path / "tiny.safetensors")
    assert source.encoder_alone
    assert source.format == "ConvNeXt weights"
    path = "pixel_encoder/downsamplers/0/conv/kernel"
    assert source.shape(path) == (4, 4, 3, 2)
    array = source.read([path])[path]
    assert array[1, 2, 0, 1] == arrays["stem.0.weight"][1, 0, 1, 2]
    assert [name for name in source.shapes if not source.is_encoder(name)] == ["head.fc.weight"]


def test_files_of_no_known_format_are_named(tmp_path):
    prefix = toy.write(tmp_path / "a", {"x/kernel": np.float32(1), "y": np.float32(1)})
    with pytest.raises(ValueError, match=r"no known format \(its arrays are x/kernel, y\)"):
        open_source(prefix)
    prefix = tf.train.Checkpoint(optimizer=tf.Module()).save(str(tmp_path / "b"))
    with pytest.raises(ValueError, match=r"arrays are .*save_counter\)"):
        open_source(prefix)
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"a.weight": np.ones(2, np.float32)}, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"no known format \(its arrays are a.weight\)"):
        open_source(tmp_path / "c.safetensors")

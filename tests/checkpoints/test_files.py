from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from kmax_tf.checkpoints.files import find_checkpoint, open_checkpoint


def _write(prefix):
    return tf.train.Checkpoint(a=tf.Variable([1.0])).write(str(prefix))


@pytest.fixture
def prefix(tmp_path):
    return _write(tmp_path / "ckpt-9")


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_a_prefix_and_its_files_are_the_same(prefix, ending):
    assert find_checkpoint(prefix + ending) == prefix
    assert open_checkpoint(prefix + ending).has_tensor("a/.ATTRIBUTES/VARIABLE_VALUE")


def test_a_folder_means_its_latest(tmp_path, prefix):
    assert find_checkpoint(tmp_path) == prefix  # The only one, as unpacked archives have it.
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(), str(tmp_path), 2)
    saved = manager.save()
    assert find_checkpoint(tmp_path) == saved


def test_weight_files_are_found_by_their_ending(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"")
    assert find_checkpoint(tmp_path / "a.safetensors") == str(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"no file .*b\.pth"):
        find_checkpoint(tmp_path / "b.pth")


def _fails(path, *patterns):
    with pytest.raises(ValueError, match=patterns[0]) as error:
        open_checkpoint(path)
    message = str(error.value)
    assert all(pattern in message for pattern in patterns)
    assert "\n" not in message


def test_what_is_no_checkpoint_is_named(tmp_path):
    _fails(tmp_path, "holds no checkpoint")
    _fails(tmp_path / "ckpt-9", "There is no checkpoint", "ckpt-9.index does not exist")
    data = tmp_path / "ckpt-9.data-00000-of-00001"
    data.write_bytes(b"")
    _fails(tmp_path, "data of a checkpoint without the .index file")
    _fails(data, "There is no checkpoint", "ckpt-9.index does not exist")
    (tmp_path / "bad.index").write_bytes(b"no table")
    _fails(tmp_path / "bad", "bad cannot be read")
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    _fails(tmp_path / "model.h5", "model.h5 is not a checkpoint", ".safetensors")


def test_a_saved_model_is_named(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    _fails(tmp_path, "is a SavedModel", "--saved_model")


def test_a_folder_without_a_latest_is_named(tmp_path, prefix):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-11"\n')
    _fails(tmp_path, "names the checkpoint", "ckpt-11, which does not exist", "holds ckpt-9")
    (tmp_path / "checkpoint").unlink()
    _write(tmp_path / "ckpt-10")
    _fails(tmp_path, "which of its checkpoints is the latest", "ckpt-10, ckpt-9")


def test_an_array_larger_than_the_data_files_is_refused(tmp_path):
    prefix = tf.train.Checkpoint(a=tf.Variable(tf.zeros([1000, 10]))).write(
        str(tmp_path / "ckpt-1")
    )
    data = tmp_path / "ckpt-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    expected = r"its data files have 1000 bytes, and a/.* of shape \[1000, 10\] needs 40000\.$"
    with pytest.raises(ValueError, match=expected):
        open_checkpoint(prefix)


@pytest.mark.parametrize("size", [2**34, 2**40, 2**62])
def test_an_index_that_announces_a_huge_block_is_refused(prefix, size):
    """The table of contents of the index lies where its last 48 bytes say."""
    path = pathlib.Path(f"{prefix}.index")
    content = path.read_bytes()
    handles = _varint(0) + _varint(10) + _varint(0) + _varint(size)
    path.write_bytes(content[:-48] + handles.ljust(40, b"\0") + content[-8:])
    _fails(prefix, "ckpt-9 cannot be read")


def _varint(number):
    content = b""
    while number > 127:
        content += bytes([number & 127 | 128])
        number >>= 7
    return content + bytes([number])

"""TensorFlow's errors about files become those of Python."""

from __future__ import annotations

import errno

import pytest
import tensorflow as tf

from kmax_tf.file_errors import raising_os_errors, reason_of
from tests.full_disk import full_disk


def test_a_full_disk_names_path_and_reason(tmp_path):
    with full_disk(1000), pytest.raises(OSError) as caught, raising_os_errors(tmp_path):
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / "ckpt"),
            tensor_names=["x"],
            shape_and_slices=[""],
            tensors=[tf.zeros([10_000])],
        )
    assert caught.value.errno == errno.EIO
    assert caught.value.filename == str(tmp_path)
    assert caught.value.strerror == "cannot be written: File too large"


def test_other_errors_pass_and_an_empty_message_has_its_class():
    with pytest.raises(tf.errors.InvalidArgumentError), raising_os_errors("x"):
        tf.reshape(tf.zeros([3]), [2])
    assert reason_of(tf.errors.UnknownError(None, None, "")) == "UnknownError"

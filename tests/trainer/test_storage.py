from __future__ import annotations

import errno
import pathlib

import pytest
import tensorflow as tf

from trainer.storage import require_folder, storing
from trainer.user_errors import StorageError


def test_an_error_of_the_system_names_what_is_written():
    said = r"^/dev/full cannot be written: No space left on device\. "
    with pytest.raises(StorageError, match=said), storing("/dev/full"):
        pathlib.Path("/dev/full").write_bytes(b"1")


def test_an_error_of_tensorflow_is_told_in_the_words_of_the_system(tmp_path):
    (tmp_path / "file").touch()
    said = r"^here cannot be written: Not a directory\. The run stopped"
    with pytest.raises(StorageError, match=said), storing("here"):
        tf.io.write_file(str(tmp_path / "file" / "below"), "x")
    with pytest.raises(StorageError, match="same command continues"), storing("here"):
        tf.io.write_file("/dev/full", "x" * 10)


def test_other_errors_pass():
    with pytest.raises(tf.errors.UnavailableError), storing("here"):
        raise tf.errors.UnavailableError(None, None, "another process is gone")
    with pytest.raises(KeyError), storing("here"):
        raise KeyError(errno.ENOSPC)


def test_a_folder_has_to_be_there(tmp_path):
    require_folder(tmp_path)
    with pytest.raises(StorageError, match="gone cannot be written: the folder is no longer"):
        require_folder(pathlib.Path(tmp_path) / "gone")

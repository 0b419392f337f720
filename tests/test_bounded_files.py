from __future__ import annotations

import pathlib

import pytest

from kmax_tf.bounded_files import FileTooLargeError, read_bounded


def test_files_up_to_the_limit_are_read_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    assert read_bounded(str(path), 100) == b"12345"
    with pytest.raises(FileTooLargeError, match=r"^it has more than the 4 bytes that are read$"):
        read_bounded(path, 4)


def test_a_large_file_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**42)  # Reading it would need four terabytes of memory.
    with pytest.raises(FileTooLargeError, match="1000"):
        read_bounded(path, 1000)


def test_a_device_that_never_ends_is_refused():
    if not pathlib.Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    with pytest.raises(FileTooLargeError, match="1000"):
        read_bounded("/dev/zero", 1000)


def test_missing_files_are_the_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 5)

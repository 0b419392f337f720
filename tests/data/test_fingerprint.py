from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kmax_tf.data import fingerprint
from kmax_tf.data.record_index import FileIndex
from kmax_tf.data.records import RecordFiles


def _take(*paths):
    """As if the files had 1, 2, 3, ... records."""
    indexes = tuple(
        FileIndex(np.zeros(number), np.zeros(number), size=0, modified=0, problem=None)
        for number in range(1, len(paths) + 1)
    )
    return fingerprint.take_fingerprints(RecordFiles(tuple(map(str, paths)), indexes))


def test_a_small_file_counts_as_a_whole(tmp_path):
    path = tmp_path / "train-0"
    path.write_bytes(b"x" * 1000)
    digest = hashlib.sha256(b"x" * 1000).hexdigest()
    assert _take(path) == [("train-0", 1000, 1, digest)]


@pytest.mark.parametrize("position", [0, fingerprint.BLOCK_BYTES - 1, 1_000_100, 3_000_000, -1])
def test_a_change_of_a_large_file_is_seen_where_it_is_read(tmp_path, position):
    path = tmp_path / "train-0"
    content = bytearray(b"x" * 3_000_001)
    path.write_bytes(content)
    (before,) = _take(path)
    content[position] = 0
    path.write_bytes(content)
    (after,) = _take(path)
    assert after.sha256 != before.sha256
    assert after[:3] == before[:3] == ("train-0", 3_000_001, 1)


def test_names_do_not_depend_on_where_the_data_is(tmp_path):
    paths = [tmp_path / "ab" / "train-0", tmp_path / "abc" / "train-0", tmp_path / "abc" / "x"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert [f.name for f in _take(*paths)] == ["ab/train-0", "abc/train-0", "abc/x"]
    assert [f.name for f in _take(*paths[1:])] == ["train-0", "x"]
    assert [f.records for f in _take(*paths)] == [1, 2, 3]

from __future__ import annotations

import json
import os
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import record_index

SIZES = [3, 0, 70_000, 12]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, size in enumerate(SIZES):
            writer.write(bytes([number]) * size)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record_index._index_version.cache_clear()
    return tmp_path / "cache" / "kmax_tf" / "record_index"


def index_anew(path):
    """As another process would."""
    record_index._index_version.cache_clear()
    return record_index.index_file(str(path))


def refuse_reading(monkeypatch):
    def refuse(*unused):
        raise AssertionError("read again")

    monkeypatch.setattr(record_index, "_find_records", refuse)


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right))


def test_offsets_and_lengths(path):
    index = record_index.index_file(str(path))
    lengths = [size + 16 for size in SIZES]
    assert index.offsets.tolist() == np.cumsum([0, *lengths])[:-1].tolist()
    assert index.lengths.tolist() == lengths
    assert (index.count, index.problem) == (4, None)
    content = path.read_bytes()
    begin = index.offsets[2] + 12
    assert content[begin : begin + SIZES[2]] == bytes([2]) * SIZES[2]


def test_checksum():
    # The check value of CRC-32C in every catalogue, masked by hand.
    crc = 0xE3069283
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert record_index.masked_checksum(b"123456789") == masked


def test_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    index = record_index.index_file(str(tmp_path / "empty"))
    assert (index.count, index.problem) == (0, None)


@pytest.mark.parametrize(
    ("damage", "count", "problem"),
    [
        (lambda content: content[:-3], 3, "cut off: the record would end at byte"),
        (lambda content: content[: 16 + 3 + 5], 1, "cut off at byte 24, inside the length"),
        (lambda content: content[:19] + b"\7" + content[20:], 1, "length at byte 19 fails"),
        (lambda content: b"this is no record file at all", 0, "not an uncompressed TFRecord"),
        (lambda content: content + bytes(1000), 4, "fails its checksum"),
    ],
)
def test_damage(path, damage, count, problem):
    whole = record_index.index_file(str(path))
    path.write_bytes(damage(path.read_bytes()))
    index = record_index.index_file(str(path))
    assert index.count == count
    assert problem in index.problem
    assert index.offsets.tolist() == whole.offsets.tolist()[:count]
    assert index.lengths.tolist() == whole.lengths.tolist()[:count]
    assert same(index_anew(path), index)


def test_second_process_reads_the_cache(path, cache, monkeypatch):
    index = record_index.index_file(str(path))
    assert len(list(cache.iterdir())) == 1
    refuse_reading(monkeypatch)
    assert same(index_anew(path), index)
    with pytest.raises(AssertionError, match="read again"):
        os.utime(path, ns=(1, 1))
        index_anew(path)


def test_same_size_and_another_content(path):
    record_index.index_file(str(path))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in reversed(SIZES):
            writer.write(bytes(size))
    os.utime(path, ns=(5, 5))
    assert index_anew(path).lengths.tolist() == [size + 16 for size in reversed(SIZES)]


def change_header(**fields):
    def change(content):
        line, _, rest = content.partition(b"\n")
        return json.dumps({**json.loads(line), **fields}).encode() + b"\n" + rest

    return change


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-8],
        lambda content: content[:-3],
        lambda content: content + bytes(8),
        lambda content: content.replace(b"{", b"[" * 100_000, 1),
        lambda content: b"[]\n",
        lambda content: b"\xff" * len(content),
        lambda content: content + bytes(10**6),
        change_header(end=10**9),
        change_header(end=10**30),
        change_header(end="x"),
        change_header(problem=5),
        change_header(key=None),
        change_header(key=[0]),
    ],
)
def test_damaged_cache_is_made_again(path, cache, damage):
    index = record_index.index_file(str(path))
    (kept,) = cache.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(damage(good))
    assert same(index_anew(path), index)
    assert kept.read_bytes() == good


def test_cache_that_cannot_be_written(path, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # a file
    assert record_index.index_file(str(path)).count == 4
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert index_anew(path).count == 4
    folder = pathlib.Path(tmp_path / "home" / ".cache" / "kmax_tf" / "record_index")
    assert len(list(folder.iterdir())) == 1


def test_other_file_systems_are_read_by_their_headers(monkeypatch):
    path = "ram://indexing/records"
    tf.io.gfile.makedirs("ram://indexing")
    with tf.io.TFRecordWriter(path) as writer:
        for number in range(3):
            writer.write(bytes(1000 * number))
    read = []
    gfile = tf.io.gfile.GFile

    class CountingFile(gfile):
        def read(self, n=-1):
            read.append(n)
            return super().read(n)

    monkeypatch.setattr(tf.io.gfile, "GFile", CountingFile)
    assert record_index.index_file(path).lengths.tolist() == [16, 1016, 2016]
    assert record_index.index_file(path).count == 3  # the second time nothing is read
    assert index_anew(path).count == 3
    assert read == [12] * 3
    with gfile(path, "wb") as file:
        file.write(b"this is no record file at all")
    assert "not an uncompressed TFRecord" in record_index.index_file(path).problem


@pytest.mark.parametrize("length", [2**29 + 1, 2**40, 2**63])
def test_a_record_that_states_too_much_is_not_read(path, length):
    """Whether the file has so many bytes or not."""
    header = struct.pack("<Q", length)
    header += struct.pack("<I", record_index.masked_checksum(header))
    with path.open("ab") as file:
        file.write(header)
        file.truncate(2**31)
    index = index_anew(path)
    assert index.count == 4
    assert index.problem.startswith(f"it states {length} bytes at byte ")
    assert index.problem.endswith("a record may have at most 536870912")

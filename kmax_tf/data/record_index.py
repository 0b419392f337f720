"""Where each record of a file begins: found once by hopping from length to length, then kept.

A record is its length (8 bytes), the checksum of the length (4), its content, the checksum of the
content (4). Only the first 12 bytes of each are read here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import struct
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.bounded_files import read_bounded
from kmax_tf.json_files import parse_json

_HEADER = struct.Struct("<QI")
_OVERHEAD = 16  # bytes of a record beside its content
MAX_RECORD_BYTES = 2**29
"""Of a record: the labels of the largest image that is read have half of it."""

_MAX_HEADER_LINE = 65536
_VERSION = 1


class FileIndex(NamedTuple):
    """The records of one file.

    Attributes:
      offsets: int64 [records], first byte of each record.
      lengths: int64 [records], bytes of each record with its header and checksums.
      size: bytes of the file.
      modified: its time of change in nanoseconds.
      problem: why the file cannot be read to its end; None = it can.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    size: int
    modified: int
    problem: Optional[str]

    @property
    def count(self) -> int:
        """Number of readable records."""
        return len(self.offsets)


def index_file(path: str) -> FileIndex:
    """The records of a file; read from the cache where the file has not changed since.

    The cache is a folder of the user (`$XDG_CACHE_HOME` or `~/.cache`). It only saves time: what is
    missing, damaged or out of date there is made again, and a folder that cannot be written leaves
    everything as it is but slower.

    Args:
      path: a record file, uncompressed.
    """
    if "://" in path:  # another file system: TensorFlow reads it
        remote = tf.io.gfile.stat(path)
        return _index_version(path, remote.length, remote.mtime_nsec)
    local = os.stat(path)
    return _index_version(os.path.abspath(path), local.st_size, local.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _index_version(path: str, size: int, modified: int) -> FileIndex:
    cached = _cache_path(path)
    index = _read_cache(cached, path, size, modified)
    if index is None:
        index = _find_records(path, size, modified)
        _write_cache(cached, path, index)
    return index


def _find_records(path: str, size: int, modified: int) -> FileIndex:
    """Hops from record to record until the end of the file or its first fault."""
    offsets: List[int] = []
    position = 0
    problem = None
    remote = "://" in path
    with tf.io.gfile.GFile(path, "rb") if remote else open(path, "rb", buffering=0) as file:
        while position < size and problem is None:
            file.seek(position)
            end, problem = _find_end(file.read(_HEADER.size), position, size)
            if problem is None:
                offsets.append(position)
                position = end
    return _make_index(offsets, position, size=size, modified=modified, problem=problem)


def _find_end(header: bytes, position: int, size: int) -> Tuple[int, Optional[str]]:
    """The first byte after a record, and what is wrong with its header or its end."""
    if len(header) < _HEADER.size:
        return size, f"the file is cut off at byte {size}, inside the length of a record"
    length, checksum = _HEADER.unpack(header)
    if masked_checksum(header[:8]) != checksum:
        return size, (
            f"the length at byte {position} fails its checksum: the file is damaged there or is "
            "not an uncompressed TFRecord file"
        )
    if length > MAX_RECORD_BYTES:
        return size, (
            f"it states {length} bytes at byte {position}, and a record may have at most "
            f"{MAX_RECORD_BYTES}"
        )
    end = position + length + _OVERHEAD
    if end > size:
        return size, f"the file is cut off: the record would end at byte {end} of {size}"
    return end, None


def masked_checksum(content: bytes) -> int:
    """CRC-32C of a few bytes, rotated and shifted as TFRecord files hold it."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _CHECKSUMS[(value ^ byte) & 0xFF] ^ (value >> 8)
    value ^= 0xFFFFFFFF
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _checksum_table() -> Tuple[int, ...]:
    """CRC-32C of each byte (Castagnoli polynomial, bits reversed)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CHECKSUMS = _checksum_table()


def _make_index(
    offsets: Any, end: int, *, size: int, modified: int, problem: Optional[str]
) -> FileIndex:
    """Args as in `FileIndex`; `end`: the first byte after the last readable record."""
    begins = np.asarray(offsets, np.int64)
    lengths = np.diff(begins, append=np.int64(end))
    return FileIndex(begins, lengths, size, modified, problem)


def _cache_path(path: str) -> pathlib.Path:
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = hashlib.sha256(path.encode("utf-8", errors="surrogateescape")).hexdigest()
    return pathlib.Path(folder, "kmax_tf", "record_index", name)


def _read_cache(cached: pathlib.Path, path: str, size: int, modified: int) -> Optional[FileIndex]:
    """The index in the cache, or None unless it is whole and of this very version of the file."""
    try:
        # A file of `size` bytes has at most so many records.
        most_bytes = _MAX_HEADER_LINE + 8 * (size // _OVERHEAD)
        line, _, content = read_bounded(cached, most_bytes).partition(b"\n")
        found = parse_json(line)
        if found["key"] != [_VERSION, path, size, modified]:
            return None
        end, problem = int(found["end"]), found["problem"]
        if len(content) != 8 * found["count"]:
            return None
        index = _make_index(
            np.frombuffer(content, "<i8"), end, size=size, modified=modified, problem=problem
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    follows = not index.count or (index.offsets[0] == 0 and index.lengths.min() >= _OVERHEAD)
    reaches = 0 <= end <= size if isinstance(problem, str) else problem is None and end == size
    return index if follows and reaches else None


def _write_cache(cached: pathlib.Path, path: str, index: FileIndex) -> None:
    end = int(index.offsets[-1] + index.lengths[-1]) if index.count else 0
    key = [_VERSION, path, index.size, index.modified]
    line = json.dumps({"key": key, "count": index.count, "end": end, "problem": index.problem})
    temporary = cached.with_name(f".{cached.name}.{os.getpid()}")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(line.encode() + b"\n" + index.offsets.astype("<i8").tobytes())
        os.replace(temporary, cached)
    except OSError:  # Only costs time, see `index_file`.
        return

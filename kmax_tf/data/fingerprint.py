"""What tells whether record files are still those of the last start, without reading them all."""

from __future__ import annotations

import concurrent.futures
import hashlib
from typing import List, NamedTuple, Sequence

import tensorflow as tf

from kmax_tf.data.records import RecordFiles

WHOLE_BYTES = 1 << 20
"""Files up to this size are read as a whole."""

BLOCKS = 4
BLOCK_BYTES = 1 << 16
"""Of larger files so many blocks of so many bytes are read, the first, the last and between."""

_READERS = 16


class FileFingerprint(NamedTuple):
    """One record file.

    Attributes:
      name: path below the folder that all files share.
      size: in bytes.
      records: how many.
      sha256: of the content, or of a sample of a large file: a change of a large file that leaves
        its size, its number of records and these blocks as they were is not seen.
    """

    name: str
    size: int
    records: int
    sha256: str


def take_fingerprints(source: RecordFiles) -> List[FileFingerprint]:
    """The fingerprints of all files, in their order, which decides the image ids."""
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        sampled = list(pool.map(_sample, source.files))
    return [
        FileFingerprint(name, size, count, digest)
        for name, (size, digest), count in zip(_names(source.files), sampled, source.counts)
    ]


def _sample(path: str) -> tuple[int, str]:
    """Size and SHA-256 of the content or of a sample of it."""
    size = tf.io.gfile.stat(path).length
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            for index in range(BLOCKS):
                file.seek(index * (size - BLOCK_BYTES) // (BLOCKS - 1))
                digest.update(file.read(BLOCK_BYTES))
    return size, digest.hexdigest()


def _names(files: Sequence[str]) -> List[str]:
    """The files without the folders that they share: data may move."""
    parts = [file.split("/") for file in files]
    shared = 0
    while len({tuple(part[: shared + 1]) for part in parts}) == 1 and shared < len(parts[0]) - 1:
        shared += 1
    return ["/".join(part[shared:]) for part in parts]

"""Files of records: finding, counting and reading them in an order that only the seed decides."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import struct
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.data import schema

FILES_AT_ONCE = 16
"""Training mixes the records of this many files, in a new random order every epoch."""

SHUFFLE_RECORDS = 512
"""Records held in memory to be shuffled. Encoded COCO records have 1.3 MB, mostly labels."""

_HEADER = struct.Struct("<QI")  # length of the record and its checksum
_FOOTER_BYTES = 4
_GRAPH_SEED = 1
_END = np.iinfo(np.int64).max


class RecordFiles(NamedTuple):
    """Files in sorted order and the number of records in each."""

    files: Tuple[str, ...]
    counts: Tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of records in all files."""
        return sum(self.counts)

    @property
    def offsets(self) -> np.ndarray:
        """Image id of the first record of each file, int64."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    def locate(self, image_id: int) -> Tuple[str, int]:
        """File and record index within it of an image id."""
        index = int(np.searchsorted(np.cumsum(self.counts), image_id, side="right"))
        return self.files[index], image_id - int(self.offsets[index])


def list_files(patterns: Sequence[str]) -> List[str]:
    """Files that match any of the patterns, sorted.

    Raises:
      ValueError: no pattern was given, or one matches no file.
    """
    if not patterns:
        raise ValueError("`file_pattern` must name record files; received none.")
    found = set()
    for pattern in patterns:
        matches = tf.io.gfile.glob(pattern)
        if not matches:
            place = pattern if "://" in pattern else os.path.abspath(pattern)
            raise ValueError(f"`file_pattern` {pattern!r} matches no file; looked for {place}.")
        found.update(matches)
    return sorted(found)


def find_records(patterns: Sequence[str]) -> RecordFiles:
    """Lists the files and counts their records (only the lengths of records are read).

    Raises:
      ValueError: a pattern matches no file, a file is not a complete TFRecord file, or there is
        no record at all.
    """
    files = list_files(patterns)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(_count, files))
    if not sum(counts):
        raise ValueError(f"`file_pattern` {list(patterns)} matches {len(files)} files, all empty.")
    return RecordFiles(tuple(files), tuple(counts))


def count_records(patterns: Sequence[str]) -> int:
    """Number of records in all files; raises as `find_records`."""
    return find_records(patterns).total


def read_file_names(patterns: Sequence[str]) -> Dict[int, str]:
    """Image id -> file name without folder and extension; reads every record once."""
    names = {}
    for index, serialized in enumerate(tf.data.TFRecordDataset(list_files(patterns))):
        record = schema.parse_record(serialized, decode_label=False)
        names[index] = record.file_name.numpy().decode("utf-8", errors="replace")
    return names


def ordered_records(source: RecordFiles) -> tf.data.Dataset:
    """Every record once, in sorted file order: (image id int64, serialised example string)."""
    return tf.data.TFRecordDataset(list(source.files)).enumerate()


def shuffled_records(source: RecordFiles, *, seed: int, start: int) -> tf.data.Dataset:
    """Endless records in random order, a function of `seed` alone.

    Each epoch permutes the files and reads them in groups of `FILES_AT_ONCE`, whose records are
    interleaved and shuffled. Groups make it cheap to start anywhere: whole epochs and whole groups
    before `start` are not read.

    Args:
      source: the files.
      seed: of the order.
      start: number of records to leave out.

    Returns:
      Dataset of (image id int64, serialised example string).
    """
    counts = np.array(source.counts, np.int64)
    files = tf.constant(source.files)
    offsets = tf.constant(source.offsets)
    groups = -(-len(counts) // FILES_AT_ONCE)

    def file_order(epoch: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            return tf.argsort(
                tf.random.stateless_uniform([len(counts)], tf.stack([seed, epoch])), stable=True
            )

    def read_file(index: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(files[index]).enumerate(start=offsets[index])

    def read_group(number: tf.Tensor) -> tf.data.Dataset:
        # Of this function's own graph. `shuffle` joins it with its seed, so without it the order
        # would depend on the program's global seed, and a global seed of 0 would be an error.
        tf.random.set_seed(_GRAPH_SEED)
        begin = tf.math.floormod(number, groups) * FILES_AT_ONCE
        members = file_order(number // groups)[begin : begin + FILES_AT_ONCE]
        records = tf.data.Dataset.from_tensor_slices(members).interleave(
            read_file,
            cycle_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return records.shuffle(
            SHUFFLE_RECORDS,
            seed=_mix(seed, number),  # type: ignore[arg-type]
            reshuffle_each_iteration=False,
        )

    epoch, left = divmod(start, source.total)
    order = file_order(tf.constant(epoch, tf.int64)).numpy()
    ends = np.cumsum(
        [counts[order[g * FILES_AT_ONCE :][:FILES_AT_ONCE]].sum() for g in range(groups)]
    )
    group = int(np.searchsorted(ends, left, side="right"))
    left -= int(ends[group - 1]) if group else 0
    return tf.data.Dataset.range(epoch * groups + group, _END).flat_map(read_group).skip(left)


def _mix(seed: int, number: tf.Tensor) -> tf.Tensor:
    """A seed for each group, int64; the constant only has to be odd and large."""
    return tf.constant(seed, tf.int64) * 6364136223846793005 + number


def _count(path: str) -> int:
    if "://" in path:  # another file system: TensorFlow reads it
        remote = tf.io.gfile.stat(path)
        return _count_version(path, remote.length, remote.mtime_nsec)
    local = os.stat(path)
    return _count_version(path, local.st_size, local.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _count_version(path: str, size: int, _modified: int) -> int:
    """Hops from record to record of an uncompressed file."""
    count = position = 0
    remote = "://" in path
    with tf.io.gfile.GFile(path, "rb") if remote else open(path, "rb", buffering=0) as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
            position += _HEADER.size + length + _FOOTER_BYTES
            count += 1
    if position > size:
        raise ValueError(
            f"Record file {path} is cut off or is not an uncompressed TFRecord file (record "
            f"{count - 1} would end at byte {position} of {size}): make it again."
        )
    return count

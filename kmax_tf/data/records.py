"""Files of records: finding them, and reading any record of them without those before it."""

from __future__ import annotations

import concurrent.futures
import os
from typing import Callable, Collection, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.data import record_order, schema
from kmax_tf.data.record_index import FileIndex, index_file

READS_AT_ONCE = 8
"""Records on their way from the disk at any time. Encoded COCO records have 1.3 MB."""

_END = np.iinfo(np.int64).max


class RecordFiles(NamedTuple):
    """Files in sorted order and where their records are; image ids number the readable ones."""

    files: Tuple[str, ...]
    indexes: Tuple[FileIndex, ...]

    @property
    def counts(self) -> Tuple[int, ...]:
        """Number of readable records in each file."""
        return tuple(index.count for index in self.indexes)

    @property
    def total(self) -> int:
        """Number of readable records in all files."""
        return sum(self.counts)

    @property
    def first_ids(self) -> np.ndarray:
        """Image id of the first record of each file, int64."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    def locate(self, image_id: int) -> Tuple[str, int]:
        """File and record index within it of an image id."""
        index = int(np.searchsorted(np.cumsum(self.counts), image_id, side="right"))
        return self.files[index], image_id - int(self.first_ids[index])

    def damages(self) -> List[Tuple[str, int, str]]:
        """File, first unreadable record and what is wrong, of each file that is damaged."""
        return [
            (file, index.count, index.problem)
            for file, index in zip(self.files, self.indexes)
            if index.problem is not None
        ]


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


def find_records(patterns: Sequence[str], *, damage_allowed: bool = False) -> RecordFiles:
    """Lists the files and where their records begin (only the lengths of records are read).

    Args:
      patterns: globs of record files.
      damage_allowed: whether files may be damaged; their records up to the damage are listed.

    Raises:
      ValueError: a pattern matches no file, a file is not a complete TFRecord file, or there is
        no record at all.
    """
    files = list_files(patterns)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        source = RecordFiles(tuple(files), tuple(pool.map(index_file, files)))
    if not damage_allowed:
        for file, record, problem in source.damages():
            raise ValueError(f"Record {record} of {file} cannot be read, {problem}: make it again.")
    if not source.total:
        raise ValueError(f"`file_pattern` {list(patterns)} matches {len(files)} files, all empty.")
    return source


def count_records(patterns: Sequence[str]) -> int:
    """Number of records in all files; raises as `find_records`."""
    return find_records(patterns).total


def read_record(source: RecordFiles, image_id: int) -> bytes:
    """One serialised example; empty where the file has become shorter since it was indexed.

    Raises:
      DataLossError: its checksum is wrong.
    """
    record = _open_record(source)(tf.constant(image_id, tf.int64))
    return record.get_single_element()[1].numpy()


def read_file_names(source: RecordFiles, *, excluded: Collection[int] = ()) -> Dict[int, str]:
    """Image id -> file name without folder and extension; reads every record once."""
    names = {}
    for image_id, serialized in ordered_records(source, start=0, excluded=excluded):
        record = schema.parse_record(serialized, decode_label=False)
        names[int(image_id)] = record.file_name.numpy().decode("utf-8", errors="replace")
    return names


def positions(start: int, share: Tuple[int, int], end: Optional[int] = None) -> tf.data.Dataset:
    """Positions from `start` on, int64: every `count`-th, where `share` is (index, count).

    Without `end` there are always more. Where `count` divides the batch size and `start`, the
    shares of a batch are equally large, and all together they are the batch of a dataset that is
    not shared.
    """
    index, count = share
    return tf.data.Dataset.range(start + index, _END if end is None else end, count)


def ordered_records(
    source: RecordFiles, *, start: int, excluded: Collection[int], share: Tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """Every record once, in the order of the image ids.

    Args:
      source: the files.
      start: number of records to begin after.
      excluded: image ids of records to leave out; they do not count.
      share: (index, count), see `positions`.

    Returns:
      Dataset of (image id int64, serialised example string).
    """
    if not excluded:
        return _read(positions(start, share, source.total), _open_record(source))
    kept = np.setdiff1d(np.arange(source.total), list(excluded))[start + share[0] :: share[1]]
    return _read(tf.data.Dataset.from_tensor_slices(kept), _open_record(source))


def shuffled_records(
    source: RecordFiles,
    *,
    seeds: Sequence[int],
    start: int,
    excluded: record_order.Exclusions,
    share: Tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless records in random orders, every record once per epoch; see `record_order`.

    All follows from one range of positions, so that others may share them out (tf.data service).

    Args:
      source: the files.
      seeds: of the orders, one for each record that an element has.
      start: position to begin at; nothing before it is read.
      excluded: records to leave out.
      share: (index, count), see `positions`.

    Returns:
      Dataset of (position int64, one pair (image id int64, serialised example string) per seed).
    """
    total = source.total
    open_record = _open_record(source)

    def open_at(position: tf.Tensor) -> tf.data.Dataset:
        image_ids = [
            record_order.shuffled_id(position, total=total, seed=seed, excluded=excluded)
            for seed in seeds
        ]
        return tf.data.Dataset.zip((_only(position), tuple(map(open_record, image_ids))))

    return _read(positions(start, share), open_at)


def ids_at(
    positions: Iterable[int],
    source: RecordFiles,
    *,
    seeds: Sequence[int],
    excluded: record_order.Exclusions,
) -> List[int]:
    """Image ids at positions of `shuffled_records`, each once, over the orders of all seeds."""
    found = [
        record_order.shuffled_id(
            tf.constant(position, tf.int64), total=source.total, seed=seed, excluded=excluded
        )
        for position in positions
        for seed in seeds
    ]
    return list(dict.fromkeys(int(image_id) for image_id in found))


def _read(
    places: tf.data.Dataset, open_record: Callable[[tf.Tensor], tf.data.Dataset]
) -> tf.data.Dataset:
    """Reads one record for each place, several at a time, in the order of the places.

    A `map` would say the same, but with deterministic operations TensorFlow runs a `map` that
    takes an element out of a dataset, and all that follows it, in a single thread.
    """
    return places.interleave(
        tf.autograph.experimental.do_not_convert(open_record),
        cycle_length=READS_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _open_record(source: RecordFiles) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """A function from image id (int64 scalar) to a dataset of that id and its record alone.

    Where the file has become shorter since it was indexed, the record is empty.
    """
    files = tf.constant(source.files)
    file_of = tf.constant(np.repeat(np.arange(len(source.files)), source.counts))
    offsets = tf.constant(np.concatenate([index.offsets for index in source.indexes]))
    lengths = tf.constant(np.concatenate([index.lengths for index in source.indexes]))

    def open_record(image_id: tf.Tensor) -> tf.data.Dataset:
        # `tf.data.TFRecordDataset` has no argument for where to begin.
        from_there = tf.raw_ops.TFRecordDatasetV2(
            filenames=files[file_of[image_id]][None],
            compression_type="",
            buffer_size=lengths[image_id],  # the record in one piece, and nothing else
            byte_offsets=offsets[image_id][None],
        )
        records = tf.data.experimental.from_variant(from_there, tf.TensorSpec([], tf.string))
        or_empty = records.concatenate(tf.data.Dataset.from_tensor_slices([""]))
        return tf.data.Dataset.zip((_only(image_id), or_empty.take(1)))

    return open_record


def _only(number: tf.Tensor) -> tf.data.Dataset:
    """A dataset of one number; first in a `zip` it ends that without looking for a second record,
    which `enumerate` would do, at twice the cost.
    """
    return tf.data.Dataset.range(number, number + 1)

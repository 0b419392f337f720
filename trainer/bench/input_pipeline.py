"""The input pipeline alone: images per second that come out of it while nothing else runs."""

from __future__ import annotations

import pathlib
import statistics
import tempfile
import time
from typing import Iterator, List, NamedTuple, Optional

import tensorflow as tf

from kmax_tf.build.data import build_dataset, find_bad_records, find_source
from kmax_tf.data.schema import PARSE_ERRORS
from protos import data_pb2
from trainer.bench.synthetic_records import write_records

_IMAGE_SIZE = (480, 640)
_NUM_RECORDS = 64
_NUM_FILES = 8
_WARM_UP_SECONDS = 3.0
_BLOCK_SECONDS = 1.5
_BLOCKS = 5
_SEED = 0


class InputFigures(NamedTuple):
    """Measured of the input.

    Attributes:
      images_per_second: median over blocks of at least 1.5 seconds.
      synthetic: whether the records were drawn, because the config's are not there.
    """

    images_per_second: float
    synthetic: bool


def measure_input(
    options: data_pb2.DatasetOptions, *, batch_size: int, repeats: Optional[int]
) -> InputFigures:
    """Measures the training pipeline: reading, decoding, augmenting, making targets, batching.

    Args:
      options: of the training data. Its records are read where every pattern names some; otherwise
        noise of 640 x 480 with 20 segments per image is.
      batch_size: images per batch.
      repeats: number of blocks, None = 5.

    Raises:
      ValueError: a record cannot be used; the message names it.
    """
    blocks = _BLOCKS if repeats is None else repeats
    if are_there(list(options.file_pattern)):
        return InputFigures(_images_per_second(options, batch_size, blocks), synthetic=False)
    drawn = data_pb2.DatasetOptions()
    drawn.CopyFrom(options)
    with tempfile.TemporaryDirectory(prefix="kmax_bench_") as folder:
        drawn.file_pattern[:] = write_records(
            pathlib.Path(folder),
            options,
            size=_IMAGE_SIZE,
            num_records=_NUM_RECORDS,
            num_files=_NUM_FILES,
        )
        return InputFigures(_images_per_second(drawn, batch_size, blocks), synthetic=True)


def are_there(patterns: List[str]) -> bool:
    """Whether each of at least one pattern names a file."""
    return bool(patterns) and all(tf.io.gfile.glob(pattern) for pattern in patterns)


def _images_per_second(options: data_pb2.DatasetOptions, batch_size: int, blocks: int) -> float:
    # No longer than the measurement: afterwards nothing of the pipeline must still run.
    iterator = iter(build_dataset(options, training=True, seed=_SEED, batch_size=batch_size))
    try:
        _read_for(iterator, _WARM_UP_SECONDS)
        rates = [_read_for(iterator, _BLOCK_SECONDS) for _ in range(blocks)]
    except PARSE_ERRORS:
        _raise_bad_record(options, batch_size)
        raise
    return batch_size * statistics.median(rates)


def _raise_bad_record(options: data_pb2.DatasetOptions, batch_size: int) -> None:
    """Raises ValueError with the record that stopped the reading; returns where there is none."""
    epoch = find_source(options).total // batch_size + 1
    found = find_bad_records(
        options, training=True, seed=_SEED, batch_size=batch_size, batches=epoch
    )
    for bad in found:
        raise ValueError(f"{bad}.") from None


def _read_for(iterator: Iterator, seconds: float) -> float:
    """Reads batches for at least `seconds`; returns batches per second."""
    begin = time.perf_counter()
    count, passed = 0, 0.0
    while count == 0 or passed < seconds:
        next(iterator)
        count += 1
        passed = time.perf_counter() - begin
    return count / passed

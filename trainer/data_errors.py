"""Which record stopped the input pipeline, as one sentence for the user."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator, Sequence

import tensorflow as tf

from kmax_tf.build.data import explain_failure
from kmax_tf.data import records, schema
from protos import experiment_pb2

TRAIN = "train_dataset_options"
EVAL = "eval_dataset_options"


@contextlib.contextmanager
def explaining_bad_records(
    config: experiment_pb2.ExperimentOptions,
    parts: Sequence[str],
    *,
    step: Callable[[], int] = lambda: 0,
) -> Iterator[None]:
    """Turns TensorFlow's error about a record into a ValueError that names the record.

    The message of a failed input pipeline seldom names the record, so the records themselves are
    looked at: those of the next training steps, then all that are evaluated. Where they are all
    right, the error is left as it is.

    Args:
      config: the datasets that are read inside.
      parts: which of them, `TRAIN` and `EVAL`.
      step: number of training steps made so far.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError):
        if TRAIN in parts:
            seed = config.trainer_options.seed
            explain_failure(
                config.train_dataset_options, training=True, seed=seed, start_step=step()
            )
        if EVAL in parts:
            source = records.find_records(list(config.eval_dataset_options.file_pattern))
            explain_failure(config.eval_dataset_options, training=False, batches=source.total)
        raise


def name_images(image_ids: Sequence[int], patterns: Sequence[str]) -> str:
    """`id = name (file, record)` of images, to look at what stopped a run.

    Args:
      image_ids: as in `Targets`.
      patterns: globs of the record files.
    """
    source = records.find_records(patterns)
    return "; ".join(f"{i} = {_name(source, i)}" for i in image_ids)


def _name(source: records.RecordFiles, image_id: int) -> str:
    path, index = source.locate(image_id)
    serialized = next(iter(tf.data.TFRecordDataset(path).skip(index)))
    name = schema.parse_record(serialized, decode_label=False).file_name.numpy()
    return f"{name.decode(errors='replace')} ({path}, record {index})"

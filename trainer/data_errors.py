"""Which record stopped the input pipeline, as one sentence for the user."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator, Sequence

import tensorflow as tf

from kmax_tf.build.data import find_bad_records, find_source
from kmax_tf.data import records, schema
from protos import data_pb2, experiment_pb2

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
    except schema.PARSE_ERRORS:
        for part in parts:
            bad = next(
                find_bad_records(
                    getattr(config, part),
                    training=part == TRAIN,
                    seed=config.trainer_options.seed,
                    start_step=step(),
                ),
                None,
            )
            if bad is not None:
                raise ValueError(f"{bad}.") from None
        raise


def name_images(image_ids: Sequence[int], options: data_pb2.DatasetOptions) -> str:
    """`id = name (file, record)` of images, to look at what stopped a run.

    Args:
      image_ids: as in `Targets`.
      options: the data that they are from.
    """
    source = find_source(options)
    return "; ".join(f"{i} = {_name(source, i)}" for i in image_ids)


def _name(source: records.RecordFiles, image_id: int) -> str:
    path, index = source.locate(image_id)
    serialized = records.read_record(source, image_id)
    name = schema.parse_record(tf.constant(serialized), decode_label=False).file_name.numpy()
    return f"{name.decode(errors='replace')} ({path}, record {index})"

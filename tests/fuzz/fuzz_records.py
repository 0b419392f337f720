"""Fuzzes the record parser with atheris: `python -m tests.fuzz.fuzz_records -runs=1000000`.

Bytes are a record, or changes to a good one. The check of records describes what is wrong with it,
or TensorFlow's parser and decoders, in the graph of the input pipeline, read it as well.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["kmax_tf.data.record_check", "kmax_tf.image_limits"]):
    import kmax_tf  # noqa: F401  first: it chooses Keras
    from kmax_tf.data import record_check

import tensorflow as tf

from kmax_tf.data import schema
from kmax_tf.data.dataset_info import load_dataset_info
from tests.fuzz.corpus import RECORDS
from tests.fuzz.run import fuzz

INFO = load_dataset_info("shapes")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def read(serialized: tf.Tensor) -> tf.Tensor:
    """Whether the pipeline can read a record."""
    record = schema.parse_record(serialized, decode_label=True)
    size = tf.shape(schema.decode_image(record))[:2]
    return tf.reduce_all(tf.shape(schema.decode_label(record)) == size)


def record_of(data: atheris.FuzzedDataProvider) -> bytes:
    """Any bytes, or a good record with up to four places changed."""
    kind = data.ConsumeIntInRange(0, len(RECORDS))
    if kind == len(RECORDS):
        return data.ConsumeBytes(sys.maxsize)
    content = RECORDS[kind]
    for _ in range(data.ConsumeIntInRange(1, 4)):
        start = data.ConsumeIntInRange(0, len(content))
        stop = min(len(content), start + data.ConsumeIntInRange(0, 8))
        content = content[:start] + data.ConsumeBytes(8) + content[stop:]
    return content


def test_one_input(content: bytes) -> None:
    """One case."""
    serialized = record_of(atheris.FuzzedDataProvider(content))
    _, problem = record_check.describe_problem(serialized, INFO, decode_label=True)
    try:
        good = bool(read(tf.constant(serialized)))
    except schema.PARSE_ERRORS:
        good = False
    if not good and problem is None:
        raise RuntimeError("The check finds nothing wrong with a record that cannot be read.")


if __name__ == "__main__":
    fuzz(sys.argv, test_one_input)

"""As `toy_train`, but the third batch of training, or the second of evaluation, never comes.

python -m tests.faults.toy_train_with_stuck_input training|evaluation FLAGS...
"""

from __future__ import annotations

import runpy
import sys
import time

import tensorflow as tf

from trainer import assembly


def _wait(number: int) -> int:
    while True:
        time.sleep(1)


def _never_after(dataset: tf.data.Dataset, batches: int) -> tf.data.Dataset:
    stuck = tf.data.Dataset.range(1).map(lambda n: tf.numpy_function(_wait, [n], tf.int64))
    endless = dataset.take(1).repeat()
    stuck = tf.data.Dataset.zip((stuck, endless)).map(lambda number, batch: batch)
    return dataset.take(batches).concatenate(stuck)


if __name__ == "__main__":
    stuck_in_training = sys.argv.pop(1) == "training"
    build = assembly.build_dataset

    def build_dataset(options, *, training, **more):
        dataset = build(options, training=training, **more)
        return (
            _never_after(dataset, 2 if training else 1)
            if (training == stuck_in_training)
            else dataset
        )

    assembly.build_dataset = build_dataset
    runpy.run_module("tests.faults.toy_train", run_name="__main__")

"""One of several workers: train.py with a toy in place of model, loss and post-processing.

python -m tests.trainer.worker_process FLAG...; the flags are those of train.py.
"""

from __future__ import annotations

import os
import sys

import tensorflow as tf

import kmax_tf  # noqa: F401  chooses Keras
from tests.trainer import toy
from trainer import assembly, train

POISONED_IMAGE = "KMAX_TEST_POISONED_IMAGE"
"""Environment variable: the loss of the image with this id is not a number."""


class Loss(toy.ToyLoss):
    """Of a run in which an image may be poisoned."""

    def with_diagnostics(self, targets, output, *, seed):
        poisoned = int(os.environ.get(POISONED_IMAGE, "-1"))
        poison = tf.where(targets["image_id"] == poisoned, -1.0, 1.0)
        return super().with_diagnostics({**targets, "poison": poison}, output, seed=seed)


def main() -> int:
    assembly.build_model = lambda config: toy.SynchronizedToyModel()
    assembly.build_loss = lambda config: Loss()
    process = toy.toy_post_processor(65, 7 * 256)
    assembly.build_post_processor = lambda config: process
    return train.main(sys.argv[1:])


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # TensorFlow's coordination service takes another ten seconds to say goodbye.
    os._exit(code)

"""One of several workers: train.py with a toy in place of model, loss and post-processing.

python -m tests.trainer.worker_process FLAG...; the flags are those of train.py.
"""

from __future__ import annotations

import os
import sys

import kmax_tf  # noqa: F401  chooses Keras
from tests.trainer import toy
from trainer import assembly, train


def main() -> int:
    assembly.build_model = lambda config: toy.SynchronizedToyModel()
    assembly.build_loss = lambda config: toy.ToyLoss()
    process = toy.toy_post_processor(65, 7 * 256)
    assembly.build_post_processor = lambda config: process
    return train.main(sys.argv[1:])


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # TensorFlow's coordination service takes another ten seconds to say goodbye.
    os._exit(code)

"""train.py without what is drawn at random per replica, for runs that are to be equal.

python -m tests.end_to_end.run_without_chance FLAG...; the flags are those of train.py.
"""

from __future__ import annotations

import os
import sys

import kmax_tf  # noqa: F401  chooses Keras
from kmax_tf.build import heads
from tests.two_devices import mirrored_over_two_devices
from trainer import distribution, train

MIRRORED = "KMAX_TEST_MIRRORED"
"""Environment variable: with it, two logical processors share each batch."""


def main() -> int:
    heads.ASPP_DROPOUT = 0.0
    if os.environ.get(MIRRORED):
        distribution.create_strategy = lambda **unused: mirrored_over_two_devices()
    return train.main(sys.argv[1:])


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # TensorFlow's coordination service takes another ten seconds to say goodbye.
    os._exit(code)

"""`kmax train` with a toy in place of model, loss and post-processing: it starts in seconds."""

from __future__ import annotations

import sys

from tests.trainer import toy
from trainer import assembly, train

CROP = 65

if __name__ == "__main__":
    assembly.build_model = lambda config: toy.ToyModel()
    assembly.build_loss = lambda config: toy.ToyLoss()
    assembly.build_post_processor = lambda config: toy.toy_post_processor(CROP, 7 * 256)
    sys.exit(train.main())

"""`kmax export` of the tiny model to a file, checked on an image the command has not seen."""

from __future__ import annotations

import pathlib
from typing import List

import numpy as np
import tensorflow as tf

from kmax_tf.build.inference import build_inference
from kmax_tf.export.network_file import load_network_file
from tests import tiny

FLAGS = ["--no_latency", "--outputs=panoptic,scores,mask_logits"]
for override in tiny.WITHOUT_THRESHOLDS:
    FLAGS += ["--set", override]


def write_command(folder: pathlib.Path) -> List[str]:
    """Saves a checkpoint; returns the command that exports it to `<folder>/exports`."""
    given = [f"--config_file={tiny.CONFIG}", f"--checkpoint={tiny.write_checkpoint(folder)}"]
    return ["export", *given, f"--export_dir={folder / 'exports'}", *FLAGS]


class BuiltOnce:
    """`build_inference`, which takes longer than a conversion, for commands on one config."""

    def __init__(self) -> None:
        self.inference = None

    def __call__(self, config, **options):
        """Builds at the first call only."""
        if self.inference is None:
            self.inference = build_inference(config, **options)
        return self.inference

    def check_file(self, file_format: str, folder: pathlib.Path) -> None:
        """Compares a file with the model; noise has pixels where two slots are almost equal."""
        run = load_network_file(file_format, folder)
        image = np.random.RandomState(0).uniform(0, 255, (1, 65, 65, 3)).astype(np.float32)
        prediction, masks = self.inference.network_with_logits(tf.constant(image))
        received = run(image)
        for name in ("segment_id", "segment_class"):
            np.testing.assert_array_equal(received[name], getattr(prediction, name), err_msg=name)
        assert np.mean(received["panoptic"] != prediction.panoptic.numpy()) < 1e-3
        for name in ("mask_logits", "class_logits"):
            expected = getattr(masks, name).numpy()
            assert np.abs(received[name] - expected).max() < 1e-4 * np.abs(expected).max()
        assert len(np.unique(received["panoptic"])) > 1
        assert "semantic" not in received  # Not asked for.

"""`kmax export`: a checkpoint becomes a SavedModel that TF Serving loads."""

from __future__ import annotations

import argparse
import time

from kmax_tf.build.config import load_config
from trainer.arguments import add_model_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax export`."""
    add_model_arguments(parser)
    parser.add_argument("--export_dir", required=True, help="gets the version folder")
    parser.add_argument(
        "--version", type=int, default=1, help="name of the version folder (default: 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exports and verifies; returns 1 when the reloaded SavedModel differs from the model.

    Raises:
      ValueError: the config, the checkpoint or the folder is at fault.
      NonFinitePredictionError: the model's logits are not finite.
    """
    start = time.monotonic()
    config = load_config(arguments.config_file, arguments.set)

    from kmax_tf.build.inference import build_inference
    from kmax_tf.export.export import export_saved_model, version_folder
    from kmax_tf.export.verify import format_comparisons, verification_images

    version_folder(arguments.export_dir, arguments.version)  # Before the slow part.
    inference = build_inference(config, checkpoint=arguments.checkpoint)
    report = export_saved_model(
        inference,
        export_dir=arguments.export_dir,
        version=arguments.version,
        model_name=config.experiment_name,
        images=verification_images(inference.input_size),
    )
    print("Reloaded and compared with the model; share of different entries, for scores the")
    print("largest absolute difference:")
    print(format_comparisons(report.comparisons))
    if not report.passed:
        print(
            "The reloaded SavedModel differs from the model, so nothing was exported. A score on "
            "the very edge of a threshold can do this; then another checkpoint passes."
        )
        return 1
    seconds = time.monotonic() - start
    print(f"Exported {report.folder} ({report.megabytes:.1f} MB) in {seconds:.0f} s.")
    return 0

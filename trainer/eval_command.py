"""`kmax eval`: the metrics of a checkpoint on the evaluation data."""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict

from kmax_tf.build.config import load_config
from trainer import preflight
from trainer.arguments import add_model_arguments

_JSON_KEYS = ("pq", "sq", "rq", "pq_things", "pq_stuff", "pq_in_graph", "miou", "ap", "per_class")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax eval`."""
    add_model_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="the last line of the output is one JSON object"
    )
    parser.add_argument(
        "--save_predictions", metavar="FOLDER", help="gets panoptic PNGs and panoptic.json (COCO)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints the table; returns the exit code.

    Raises:
      ValueError: the config, the data or the checkpoint is at fault.
      NonFinitePredictionError: the model's logits are not finite.
    """
    config = load_config(arguments.config_file, arguments.set)
    preflight.require_records(config, "eval")

    from evaluation.evaluate import evaluate_checkpoint
    from kmax_tf.data.records import count_records
    from trainer.data_errors import EVAL, explaining_bad_records
    from trainer.non_finite import naming_images_of
    from trainer.progress import Progress

    options = config.eval_dataset_options
    num_images = count_records(options.file_pattern)
    if config.evaluator_options.eval_steps >= 0:
        num_images = min(num_images, config.evaluator_options.eval_steps * options.batch_size)
    progress = Progress(total_steps=0, batch_size=options.batch_size, line_interval=1)
    with (
        explaining_bad_records(config, [EVAL]),
        naming_images_of(options),
        progress.evaluation(num_images) as advance,
    ):
        evaluation = evaluate_checkpoint(
            config,
            arguments.checkpoint,
            save_predictions=arguments.save_predictions,
            advance=advance,
        )
    if evaluation.table:
        print(evaluation.table)
    if arguments.save_predictions:
        print(f"Predictions of {evaluation.num_images} images are in {arguments.save_predictions}.")
    if arguments.json:
        print(json.dumps(json_result(evaluation.result)))
    return 0


def json_result(result: Dict[str, Any]) -> Dict[str, Any]:
    """The object of `--json`: percent; null where no class has ground truth or a prediction."""
    return {key: result.get(key) for key in _JSON_KEYS}

"""`kmax eval`: the metrics of a checkpoint on the evaluation data, or of finished predictions."""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict, List, Sequence

from kmax_tf.safe_paths import require_local
from trainer.arguments import add_model_arguments

_JSON_KEYS = ("pq", "sq", "rq", "pq_things", "pq_stuff", "pq_in_graph", "miou", "ap", "per_class")

_MODEL_REQUIRED = ("config_file", "checkpoint")
_MODEL_FLAGS = (
    *_MODEL_REQUIRED,
    "raw_weights",
    "set",
    "save_predictions",
    "save_format",
    "num_gpus",
    "tpu",
)
_SCORING_REQUIRED = ("from_predictions", "ground_truth")
_SCORING_FLAGS = ("ground_truth", "predictions_json", "ground_truth_dir", "processes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax eval`."""
    add_model_arguments(parser, required=False)
    parser.add_argument(
        "--json", action="store_true", help="the last line of the output is one JSON object"
    )
    parser.add_argument(
        "--save_predictions", metavar="FOLDER", help="gets the predictions, see --save_format"
    )
    parser.add_argument(
        "--save_format",
        metavar="FORMAT",
        help="coco_panoptic (panoptic PNGs and panoptic.json; the default), cityscapes (semantic "
        "PNGs, instance masks and lists), two_channel_png, three_channel_png, "
        "two_channel_numpy_array or semantic_png",
    )
    parser.add_argument("--num_gpus", type=int, help="default: all that are visible; 0 = CPU")
    parser.add_argument("--tpu", help="name or address of a TPU; `local` for one in this machine")
    finished = parser.add_argument_group(
        "finished predictions of any system, in COCO panoptic format; no config, no checkpoint"
    )
    finished.add_argument("--from_predictions", metavar="FOLDER", help="predicted panoptic PNGs")
    finished.add_argument("--ground_truth", metavar="JSON", help="panoptic JSON of the data set")
    finished.add_argument(
        "--predictions_json",
        metavar="JSON",
        help="of the predictions; by default FOLDER.json, else FOLDER/panoptic.json",
    )
    finished.add_argument(
        "--ground_truth_dir",
        metavar="FOLDER",
        help="panoptic PNGs of the data set; by default the path of its JSON without suffix",
    )
    finished.add_argument(
        "--processes", type=int, metavar="N", help="that read PNGs; by default one per core"
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints the table; returns the exit code.

    Raises:
      ValueError: flags are missing or contradict one another, or the config, the data, the
        checkpoint or the predictions are at fault.
      NonFinitePredictionError: the model's logits are not finite.
    """
    _check(arguments)
    require_local(arguments.save_predictions or "", what="`--save_predictions`")
    if arguments.from_predictions is not None:
        return _score(arguments)
    return _evaluate(arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    """Runs the model."""
    # Not needed to score finished predictions, which is to begin at once.
    from kmax_tf.build.config import load_config
    from trainer import preflight

    config = load_config(arguments.config_file, arguments.set)
    preflight.require_records(config, "eval")

    from evaluation.evaluate import evaluate_checkpoint
    from evaluation.submissions import COCO_PANOPTIC
    from kmax_tf.build.data import find_source
    from kmax_tf.data.schema import PARSE_ERRORS
    from trainer.bad_records import BadRecords
    from trainer.data_errors import EVAL
    from trainer.distribution import create_strategy
    from trainer.non_finite import naming_images_of
    from trainer.progress import Progress

    # First: which devices are visible can only be said before any of them is used.
    strategy = create_strategy(num_gpus=arguments.num_gpus, tpu=arguments.tpu)
    options = config.eval_dataset_options
    progress = Progress(total_steps=0, batch_size=options.batch_size, line_interval=1)
    bad_records = BadRecords(options, part=EVAL, path=None, report=progress.write)
    evaluation = None
    while evaluation is None:
        num_images = find_source(options).total - len(bad_records.excluded)
        if config.evaluator_options.eval_steps >= 0:
            num_images = min(num_images, config.evaluator_options.eval_steps * options.batch_size)
        try:
            with naming_images_of(options), progress.evaluation(num_images) as advance:
                evaluation = evaluate_checkpoint(
                    config,
                    arguments.checkpoint,
                    save_predictions=arguments.save_predictions,
                    save_format=arguments.save_format or COCO_PANOPTIC,
                    strategy=strategy,
                    advance=advance,
                    raw_weights=bool(arguments.raw_weights),
                    excluded=bad_records.excluded,
                )
        except PARSE_ERRORS:
            if not bad_records.search():
                raise
    if evaluation.table:
        print(evaluation.table)
    if arguments.save_predictions:
        print(f"Predictions of {evaluation.num_images} images are in {arguments.save_predictions}.")
    if arguments.json:
        print(json.dumps(json_result(evaluation.result)))
    return 0


def _score(arguments: argparse.Namespace) -> int:
    """Scores finished predictions."""
    from evaluation.score_predictions import find_predictions, score_predictions
    from trainer.progress import Progress

    finished = find_predictions(
        arguments.from_predictions,
        arguments.ground_truth,
        predictions_json=arguments.predictions_json,
        ground_truth_dir=arguments.ground_truth_dir,
    )
    progress = Progress(total_steps=0, batch_size=1, line_interval=1)
    with progress.evaluation(len(finished.images)) as advance:
        score = score_predictions(finished, processes=arguments.processes, advance=advance)
    print(score.table)
    if arguments.json:
        print(json.dumps(json_result(score.result)))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raises ValueError where flags are missing or belong to another way of evaluating."""

    def given(names: Sequence[str]) -> List[str]:
        return [f"`--{name}`" for name in names if getattr(arguments, name) not in (None, [])]

    scoring = arguments.from_predictions is not None
    required = _SCORING_REQUIRED if scoring else _MODEL_REQUIRED
    foreign = given(_MODEL_FLAGS if scoring else _SCORING_FLAGS)
    if foreign and scoring:
        raise ValueError(
            f"{' and '.join(foreign)} cannot be given together with `--from_predictions`, which "
            "runs no model."
        )
    if foreign:
        raise ValueError(
            f"{' and '.join(foreign)} can only be given together with `--from_predictions`."
        )
    if arguments.save_format is not None and arguments.save_predictions is None:
        raise ValueError("`--save_format` can only be given together with `--save_predictions`.")
    missing = [f"`--{name}`" for name in required if getattr(arguments, name) is None]
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} must be given: `kmax eval` takes `--config_file` and "
            "`--checkpoint`, or `--from_predictions` and `--ground_truth`."
        )


def json_result(result: Dict[str, Any]) -> Dict[str, Any]:
    """The object of `--json`: percent; null where no class has ground truth or a prediction.

    `images_left_out` only where there are any.
    """
    left_out = {key: result[key] for key in ("images_left_out",) if key in result}
    return {**{key: result.get(key) for key in _JSON_KEYS}, **left_out}

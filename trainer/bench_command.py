"""`kmax bench`: how fast, how lean and how large a model is, beside a yardstick."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Dict, List, Tuple

from kmax_tf.build.config import require_filled
from kmax_tf.safe_paths import path_inside
from protos import experiment_pb2
from trainer.arguments import add_model_arguments
from trainer.bench.machine import describe_machine
from trainer.bench.setting import (
    Setting,
    apply_crop,
    configured_crop,
    load_bench_config,
    precision_names,
    precision_of,
)

# In the order of measuring; `trainer.bench.measurements` has them by these names.
WHAT = ("train", "infer", "input", "size", "memory")
_DEFAULT_WHAT = "train,infer,input,size"
_DEFAULT_FOLDER = "runs/bench"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax bench`."""
    add_model_arguments(parser, checkpoint=False)
    parser.add_argument(
        "--what",
        type=_measurements,
        default=_DEFAULT_WHAT,
        metavar="NAME[,NAME]...",
        help=f"what to measure: {', '.join(WHAT)} (default: {_DEFAULT_WHAT})",
    )
    parser.add_argument(
        "--crop", type=_crop, metavar="H,W", help="default: the crop size of the evaluation"
    )
    parser.add_argument(
        "--batch", type=_positive, default=1, metavar="N", help="images at a time (default: 1)"
    )
    parser.add_argument(
        "--precision", choices=precision_names(), help="default: trainer_options.precision"
    )
    parser.add_argument("--xla", action="store_true", help="compile whole functions by XLA")
    parser.add_argument(
        "--repeats",
        type=_positive,
        metavar="N",
        help="runs whose median is taken (default: 5 to 20, until 8 seconds have passed)",
    )
    parser.add_argument(
        "--steps",
        type=_positive,
        default=1,
        metavar="N",
        help="steps in a row, without a look from the host, that make a run (default: 1)",
    )
    parser.add_argument(
        "--memory_budget",
        type=_gigabytes,
        metavar="GB",
        help="with --what=memory: tells the largest batch that fits",
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        const=_DEFAULT_FOLDER,
        metavar="FOLDER",
        help="write traces for TensorBoard and print the most expensive parts of training and "
        f"inference (default folder: {_DEFAULT_FOLDER})",
    )
    parser.add_argument(
        "--json", action="store_true", help="the last line of the output is one JSON object"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints a table, and returns the exit code 0.

    Raises:
      ValueError: the config is at fault, or flags contradict each other.
      FloatingPointError: the loss of the model is not finite, or above its limit.
    """
    _require_consistent(arguments)
    config = load_bench_config(
        arguments.config_file, arguments.set, precision=arguments.precision, xla=arguments.xla
    )
    crop = arguments.crop or configured_crop(config)
    if arguments.what != ["size"]:  # Multiply-adds are counted at any size, as papers do.
        apply_crop(config, crop)
    setting = Setting(crop, arguments.batch, arguments.repeats, arguments.steps)
    _measure(config, setting, arguments)
    return 0


def _measure(
    config: experiment_pb2.ExperimentOptions, setting: Setting, arguments: argparse.Namespace
) -> None:
    machine = describe_machine()

    import tensorflow as tf

    from trainer.bench import measurements, report
    from trainer.bench.session import Session

    folder = None
    if arguments.profile is not None:
        name = require_filled(config.experiment_name, "experiment_name")
        folder = path_inside(arguments.profile, name, what="`experiment_name`")
    extras = measurements.Extras(folder, arguments.memory_budget)
    session = Session(config, setting)
    height, width = setting.crop
    result: Dict[str, Any] = {
        "crop_size": [height, width],
        "batch_size": setting.batch_size,
        "precision": precision_of(config),
        "tensorflow": tf.__version__,
    }
    rows = [
        report.Row("experiment", config.experiment_name),
        report.Row(
            "input",
            f"{setting.batch_size} x {height}x{width}, {result['precision']}, "
            f"{'GPU' if session.on_gpu else 'CPU'}, TensorFlow {tf.__version__}",
        ),
        report.Row("machine", machine),
    ]
    names = [name for name in WHAT if name in arguments.what]
    measured: List[measurements.Measured] = []
    for name in names:
        _tell(f"measuring: {name}")
        measured.append(measurements.MEASUREMENTS[name](session, extras))
    if {"train", "infer"} & set(names):
        _tell("measuring: yardstick")
        measured.append(measurements.measure_yardsticks(session, names))
    for values, more_rows, _ in measured:
        result.update(values)
        rows += more_rows
    print("\n".join(report.format_rows(rows, result)))
    for _, _, parts in measured:
        if parts:
            print("\n" + "\n".join(parts))
    if arguments.json:
        print(json.dumps(result))


def _require_consistent(arguments: argparse.Namespace) -> None:
    """Raises ValueError where a flag asks for something of what is not measured."""
    if arguments.memory_budget is not None and "memory" not in arguments.what:
        raise ValueError(
            "`--memory_budget` needs `--what=memory`; received "
            f"`--what={','.join(arguments.what)}`."
        )
    if arguments.profile is not None and not {"train", "infer"} & set(arguments.what):
        raise ValueError(
            "`--profile` traces training and inference: `--what` must name train or infer; "
            f"received `--what={','.join(arguments.what)}`."
        )


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _measurements(text: str) -> List[str]:
    names = text.split(",")
    if any(name not in WHAT for name in names):
        raise argparse.ArgumentTypeError(
            f"accepts {', '.join(WHAT)}, comma-separated; received {text!r}"
        )
    return list(dict.fromkeys(names))


def _crop(text: str) -> Tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"must be a height and a width above 0, such as 1281,1281; received {text!r}"
        )
    return int(parts[0]), int(parts[1])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0; received {text!r}")
    return int(text)


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be gigabytes above 0; received {text!r}")
    return value

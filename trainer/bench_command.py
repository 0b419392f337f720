"""`kmax bench`: how large a model is."""

from __future__ import annotations

import argparse
import json
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from kmax_tf.build.config import load_config
from protos import experiment_pb2, training_pb2
from trainer.arguments import add_model_arguments


class Setting(NamedTuple):
    """At which size one measures.

    Attributes:
      crop: height and width of the network's input.
      batch_size: images at a time.
    """

    crop: Tuple[int, int]
    batch_size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax bench`."""
    add_model_arguments(parser, checkpoint=False)
    parser.add_argument(
        "--what",
        type=_measurements,
        required=True,
        metavar="NAME[,NAME]...",
        help=f"what to measure: {', '.join(sorted(_MEASUREMENTS))}",
    )
    parser.add_argument(
        "--crop", type=_crop, metavar="H,W", help="default: the crop size of the evaluation"
    )
    parser.add_argument(
        "--batch", type=_positive, default=1, metavar="N", help="images at a time (default: 1)"
    )
    parser.add_argument(
        "--json", action="store_true", help="the last line of the output is one JSON object"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints a table, and returns the exit code 0.

    Raises:
      ValueError: the config is at fault.
    """
    config = load_config(arguments.config_file, arguments.set)

    import tensorflow as tf

    from kmax_tf.build.config import inference_dataset_options
    from kmax_tf.build.data import crop_size

    crop = arguments.crop or crop_size(inference_dataset_options(config))
    setting = Setting(crop, arguments.batch)
    precision = config.trainer_options.precision
    result: Dict[str, Any] = {
        "crop_size": list(crop),
        "batch_size": arguments.batch,
        "precision": training_pb2.TrainerOptions.Precision.Name(precision).lower(),
        "tensorflow": tf.__version__,
    }
    rows = [
        ("experiment", config.experiment_name),
        ("input", f"{crop[0]}x{crop[1]}, {result['precision']}, TensorFlow {tf.__version__}"),
    ]
    for name in arguments.what:
        values, more_rows = _MEASUREMENTS[name](config, setting)
        result.update(values)
        rows += more_rows
    width = max(len(title) for title, _ in rows) + 2
    print("\n".join(f"{title:<{width}}{text}" for title, text in rows))
    if arguments.json:
        print(json.dumps(result))
    return 0


_Measurement = Tuple[Dict[str, Any], List[Tuple[str, str]]]
"""Entries of the JSON object, and rows (title, text) of the table."""


def _measure_size(config: experiment_pb2.ExperimentOptions, setting: Setting) -> _Measurement:
    """`--what=size`.

    Entries: `parameters` (all), of them `trainable_parameters`, `encoder_parameters` (pixel
    encoder) and `inference_parameters` (without auxiliary heads); per image
    `multiply_adds_g`, in 1e9, and `gflops`, twice that.
    """
    from kmax_tf.build.model import build_model
    from trainer.model_size import measure_size

    size = measure_size(build_model(config), setting.crop, batch_size=setting.batch_size)
    multiply_adds = size.multiply_adds / 1e9
    values = {
        "parameters": size.parameters,
        "trainable_parameters": size.trainable_parameters,
        "encoder_parameters": size.encoder_parameters,
        "inference_parameters": size.inference_parameters,
        "gflops": 2.0 * multiply_adds,
        "multiply_adds_g": multiply_adds,
    }
    rows = [
        ("parameters", f"{size.parameters:>13,}"),
        ("  trainable", f"{size.trainable_parameters:>13,}"),
        ("  in the pixel encoder", f"{size.encoder_parameters:>13,}"),
        ("  used in inference", f"{size.inference_parameters:>13,}  (no auxiliary heads)"),
        (
            "multiply-adds",
            f"{multiply_adds:>13,.3f} G per image, what papers call FLOPs (of convolutions and "
            "matrix products, without post-processing)",
        ),
        (
            "operations",
            f"{2.0 * multiply_adds:>13,.3f} GFLOPs per image, a multiply-add being two",
        ),
    ]
    return values, rows


_MEASUREMENTS: Dict[str, Callable[[experiment_pb2.ExperimentOptions, Setting], _Measurement]] = {
    "size": _measure_size
}


def _measurements(text: str) -> List[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in _MEASUREMENTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"accepts {', '.join(sorted(_MEASUREMENTS))}, comma-separated; received {text!r}"
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

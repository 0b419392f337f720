"""The flags of `kmax export` that depend on each other: format, precision and size."""

from __future__ import annotations

import argparse
from typing import List

SAVED_MODEL = "saved_model"
FORMATS = (SAVED_MODEL, "onnx", "tflite")
FREE = "free"

# What weights a file of the network can hold.
_PRECISIONS = {"onnx": ("float32",), "tflite": ("float32", "float16")}


def check_format(arguments: argparse.Namespace) -> None:
    """Refuses flags that a format does not go with.

    Args:
      arguments: of the command line; read are `format`, `precision` and `input_size`.

    Raises:
      ValueError: names both flags, or the package that the format needs.
    """
    if arguments.format == SAVED_MODEL:
        return
    from kmax_tf.export.network_file import FORMATS as FILES

    if arguments.input_size == FREE:
        raise ValueError(
            f"`--format={arguments.format}` holds a network of one size and does not go with "
            "`--input_size=free`: give `--input_size=H,W`."
        )
    accepted = _PRECISIONS[arguments.format]
    if arguments.precision not in (None, *accepted):
        raise ValueError(
            f"`--format={arguments.format}` does not go with `--precision={arguments.precision}`: "
            f"it accepts {' and '.join(accepted)}."
        )
    FILES[arguments.format].require()


def overrides_of(arguments: argparse.Namespace) -> List[str]:
    """`--set` with `--precision` as overrides of the config.

    Files of the network always compute in float32, whatever the config trains in; `--precision` is
    how their weights are stored.

    Args:
      arguments: checked by `check_format`.
    """
    precision = arguments.precision if arguments.format == SAVED_MODEL else "float32"
    if precision is None:
        return list(arguments.set)
    return [*arguments.set, f"trainer_options.precision={precision.upper()}"]

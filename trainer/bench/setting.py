"""At which size, and how long, one measures; and the config with the flags applied."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from kmax_tf.build.config import inference_dataset_options, load_config
from kmax_tf.build.validation import validate
from protos import experiment_pb2, training_pb2

SEGMENTS = 20
"""Segments per image: in training targets, and accepted by post-processing."""


class Setting(NamedTuple):
    """What all measurements of a run share.

    Attributes:
      crop: height and width of the network's input.
      batch_size: images at a time.
      repeats: how often the clock is read, None = as often as needed.
      steps: runs between two looks at the clock.
    """

    crop: Tuple[int, int]
    batch_size: int
    repeats: Optional[int] = None
    steps: int = 1


def precision_names() -> List[str]:
    """What `--precision` accepts."""
    return [name.lower() for name in training_pb2.TrainerOptions.Precision.keys()]  # noqa: SIM118  not a dict


def precision_of(config: experiment_pb2.ExperimentOptions) -> str:
    """The precision of a config as `--precision` would name it."""
    number = config.trainer_options.precision
    return training_pb2.TrainerOptions.Precision.Name(number).lower()


def load_bench_config(
    path: str, overrides: Sequence[str], *, precision: Optional[str], xla: bool
) -> experiment_pb2.ExperimentOptions:
    """Reads a config and applies `--precision` and `--xla`.

    Raises:
      ValueError: as `load_config`.
    """
    chosen = list(overrides)
    if precision is not None:
        chosen.append(f"trainer_options.precision={precision.upper()}")
    if xla:
        chosen.append("trainer_options.use_xla=true")
    return load_config(path, chosen)


def configured_crop(config: experiment_pb2.ExperimentOptions) -> Tuple[int, int]:
    """The crop size of the evaluation, or of training where the config has no evaluation."""
    height, width = inference_dataset_options(config).crop_size
    return height, width


def apply_crop(
    config: experiment_pb2.ExperimentOptions, crop: Tuple[int, int], *, flag: str = "--crop"
) -> None:
    """Makes `crop` the input size of training and evaluation.

    Limits of the resize that would exceed it are dropped: unset, they are the crop.

    Args:
      config: changed.
      crop: height and width.
      flag: that named the crop, for the message.

    Raises:
      ValueError: the model cannot take such a crop.
    """
    parts = [config.train_dataset_options]
    if config.HasField("eval_dataset_options"):
        parts.append(config.eval_dataset_options)
    for options in parts:
        options.crop_size[:] = crop
        if any(limit > min(crop) for limit in options.max_resize_value):
            options.ClearField("min_resize_value")
            options.ClearField("max_resize_value")
    try:
        validate(config)
    except ValueError as error:
        raise ValueError(f"`{flag}={crop[0]},{crop[1]}` does not fit: {error}") from None

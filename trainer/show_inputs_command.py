"""`kmax show-inputs`: a picture of what the network is fed in training or evaluation."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from kmax_tf.build.config import load_config
from protos import data_pb2, experiment_pb2
from trainer import preflight
from trainer.arguments import add_model_arguments

if TYPE_CHECKING:
    from kmax_tf.data.records import RecordFiles
    from kmax_tf.results.input_sheet import NetworkInput

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_IMAGES = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax show-inputs`."""
    add_model_arguments(parser, checkpoint=False)
    parser.add_argument(
        "--output", required=True, metavar="FILE", help=f"picture ({', '.join(SUFFIXES)})"
    )
    parser.add_argument(
        "--num_images", type=int, default=8, metavar="N", help="how many images (default: 8)"
    )
    parser.add_argument(
        "--split",
        choices=("train", "eval"),
        default="train",
        help="augmented training images, or those of the evaluation (default: train)",
    )
    parser.add_argument(
        "--start_step",
        type=int,
        default=0,
        metavar="N",
        help="begin with the first image of this step (default: 0)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="of order and augmentation in training (default: trainer_options.seed)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draws the sheet, prints where it is, and returns the exit code 0.

    Raises:
      ValueError: a flag, the config, the data or the output is at fault.
    """
    _check_flags(arguments)
    config = load_config(arguments.config_file, arguments.set)
    if arguments.seed is not None:
        config.trainer_options.seed = arguments.seed
    part = f"{arguments.split}_dataset_options"
    if not config.HasField(part):
        raise ValueError(
            f"`--split={arguments.split}` needs `{part}`, which the config does not have."
        )
    preflight.require_records(config, arguments.split)
    output = pathlib.Path(arguments.output)
    preflight.require_writable(output.parent, create=True, flag="--output")

    from PIL import Image

    from kmax_tf.build.data import dataset_info_of
    from kmax_tf.data.geometry import PADDING_VALUE
    from kmax_tf.results.atomic_files import write_atomically
    from kmax_tf.results.input_sheet import draw_input_sheet
    from trainer.distribution import create_strategy

    create_strategy(num_gpus=0, tpu=None)  # Beside a run that has the GPUs.
    inputs = read_inputs(
        config, arguments.split, count=arguments.num_images, start_step=arguments.start_step
    )
    print(f"{len(inputs)} images read; drawing.", flush=True)
    sheet = draw_input_sheet(
        inputs,
        dataset_info_of(getattr(config, part)),
        title=_title(config, arguments.split, arguments.start_step),
        padding_value=PADDING_VALUE,
    )
    kind = "PNG" if output.suffix.lower() == ".png" else "JPEG"
    write_atomically(output, lambda path: Image.fromarray(sheet).save(path, kind, quality=92))
    print(f"{len(inputs)} inputs are drawn in {output} ({sheet.shape[1]} x {sheet.shape[0]}).")
    return 0


def read_inputs(
    config: experiment_pb2.ExperimentOptions, split: str, *, count: int, start_step: int
) -> List[NetworkInput]:
    """Reads images as a run would.

    Args:
      config: the experiment; training has its seed.
      split: `train` or `eval`.
      count: how many images; fewer where the evaluation has fewer.
      start_step: number of batches of the config's size to leave out.

    Returns:
      At least one image.

    Raises:
      ValueError: options that contradict one another, bad records, or nothing is left.
    """
    from kmax_tf.build.data import build_dataset, find_source
    from kmax_tf.results.input_sheet import NetworkInput
    from trainer.data_errors import explaining_bad_records

    part = f"{split}_dataset_options"
    options: data_pb2.DatasetOptions = getattr(config, part)
    source = find_source(options)
    first = start_step * options.batch_size
    if split == "eval" and first >= source.total:
        raise ValueError(
            f"`--start_step` must leave some of the {source.total} images (batches of "
            f"{options.batch_size}); received {start_step}."
        )
    inputs = []
    with explaining_bad_records(config, [part], step=lambda: start_step):
        # Random changes belong to images, not to batches: one at a time gives the same pixels.
        dataset = build_dataset(
            options,
            training=split == "train",
            seed=config.trainer_options.seed,
            start_step=first,
            batch_size=1,
        )
        for element in dataset.take(count).as_numpy_iterator():
            features, made = element[:2]
            image_id = int(made["image_id"][0])
            name, size = _read_facts(source, image_id)
            height, width = made["valid_size"][0].tolist()
            image, maps = features["image"][0], _target_maps(made)
            inputs.append(NetworkInput(name, image_id, size, image, (height, width), maps))
    return inputs


def _target_maps(made: Dict[str, Any]) -> Any:
    """The first image's `TargetMaps`, or None where the data has no labels."""
    from kmax_tf.results.input_sheet import TargetMaps

    if "semantic" not in made:
        return None
    return TargetMaps(
        semantic=made["semantic"][0],
        semantic_weight=made["semantic_weight"][0],
        segment_id=made["segment_id"][0],
        is_crowd=made["is_crowd"][0],
        num_dropped=int(made["dropped_things"][0]),
    )


def _read_facts(source: RecordFiles, image_id: int) -> Tuple[str, Tuple[int, int]]:
    """File name of an image, and its height and width."""
    import tensorflow as tf

    from kmax_tf.data import schema
    from kmax_tf.data.records import read_record

    serialized = tf.constant(read_record(source, image_id))
    record = schema.parse_record(serialized, decode_label=False)
    name = record.file_name.numpy().decode(errors="replace")
    return name, (int(record.height), int(record.width))


def _title(config: experiment_pb2.ExperimentOptions, split: str, start_step: int) -> Sequence[str]:
    options: data_pb2.DatasetOptions = getattr(config, f"{split}_dataset_options")
    parts = [
        config.experiment_name or "experiment",
        "training" if split == "train" else "evaluation",
    ]
    if split == "train":
        parts.append(f"from step {start_step}, seed {config.trainer_options.seed}")
    elif start_step:
        parts.append(f"from batch {start_step}")
    return [*parts, f"batches of {options.batch_size}"]


def _check_flags(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.num_images <= MOST_IMAGES:
        raise ValueError(
            f"`--num_images` must be in 1..{MOST_IMAGES}; received {arguments.num_images}."
        )
    if arguments.start_step < 0:
        raise ValueError(f"`--start_step` must be at least 0; received {arguments.start_step}.")
    if arguments.split == "eval" and arguments.seed is not None:
        raise ValueError(
            f"`--seed` {arguments.seed} goes with `--split=train`: nothing in the evaluation is "
            "random."
        )
    output = pathlib.Path(arguments.output)
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"`--output` must end with {', '.join(SUFFIXES)}; received {arguments.output}."
        )
    if output.is_dir():
        raise ValueError(f"`--output` must be a file; {arguments.output} is a folder.")

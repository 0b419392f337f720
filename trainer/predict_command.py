"""`kmax predict`: panoptic pictures, PNGs and JSON of images and folders."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Sequence, Tuple

from kmax_tf.build.config import load_config
from trainer.arguments import add_model_arguments
from trainer.named_images import describe_result, unique_names
from trainer.user_errors import INTERRUPTED, USER_ERROR

if TYPE_CHECKING:
    from kmax_tf.predictor import Predictor
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter

PREDICTIONS_JSON = "panoptic.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `kmax predict`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--output_dir", required=True, help="gets pictures and panoptic.json")
    add_model_arguments(parser, required=False)
    parser.add_argument(
        "--saved_model", help="folder of `kmax export`, instead of config and checkpoint"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predicts all images; returns 2 when one of them could not be read.

    Raises:
      ValueError: an image or a model is missing, or no image could be read.
      NonFinitePredictionError: the model's logits are not finite.
    """
    _check_model(arguments)

    from kmax_tf.data.image_files import find_images
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter

    folder = pathlib.Path(arguments.output_dir)
    if folder.resolve() in [pathlib.Path(path).resolve() for path in arguments.images]:
        raise ValueError(
            f"`--output_dir` {folder} must be another folder than that of the images: the pictures "
            "would be images of the next run."
        )
    named = unique_names(find_images(arguments.images))
    predictor = _make_predictor(arguments)
    with CocoPanopticWriter(folder, predictor.info, json_path=folder / PREDICTIONS_JSON) as writer:
        return _predict_all(named, predictor, writer, folder)


def _predict_all(
    named: Sequence[Tuple[str, pathlib.Path]],
    predictor: Predictor,
    writer: CocoPanopticWriter,
    folder: pathlib.Path,
) -> int:
    """Predicts and writes image by image; an interrupt keeps what is finished."""
    unreadable = done = 0
    try:
        start, first = 0.0, 1
        for number, (name, path) in enumerate(named, start=1):
            try:
                result = predictor(path)
            except ValueError as error:  # Of this image alone; the others go on.
                unreadable += 1
                print(f"kmax: {error}", file=sys.stderr, flush=True)
                continue
            result.write(writer, name=name, image_file=path.name)
            done += 1
            progress = f"[{number}/{len(named)}] {path}"
            if not start:  # The first image also loads and traces: it says nothing about the rest.
                start, first = time.monotonic(), number
            elif number < len(named):
                seconds = (time.monotonic() - start) / (number - first) * (len(named) - number)
                progress += f", {seconds:.0f} s left"
            print(f"{progress}\n{describe_result(result)}\n", flush=True)
    except KeyboardInterrupt:
        print(f"Interrupted after {done} of {len(named)} images; their results are in {folder}.")
        return INTERRUPTED
    print(f"{done} of {len(named)} images predicted; results are in {folder}.")
    return USER_ERROR if unreadable else 0


def _check_model(arguments: argparse.Namespace) -> None:
    given = {"--config_file": arguments.config_file, "--checkpoint": arguments.checkpoint}
    if arguments.saved_model:
        extra = [name for name, value in {**given, "--set": arguments.set}.items() if value]
        if extra:
            raise ValueError(
                f"`--saved_model` {arguments.saved_model} holds all that is needed; leave out "
                f"{' and '.join(extra)}."
            )
        return
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ValueError(
            f"`kmax predict` needs `--config_file` and `--checkpoint`, or `--saved_model`; "
            f"{' and '.join(missing)} missing."
        )


def _make_predictor(arguments: argparse.Namespace) -> Predictor:
    from kmax_tf.predictor import Predictor

    if arguments.saved_model:
        return Predictor(saved_model=arguments.saved_model)
    config = load_config(arguments.config_file, arguments.set)
    return Predictor(config, checkpoint=arguments.checkpoint)

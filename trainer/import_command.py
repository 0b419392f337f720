"""`kmax import`: weights of any known format become a checkpoint in our layout or deeplab2's."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING, List

from kmax_tf.build.config import load_config
from trainer import preflight
from trainer.arguments import (
    add_allow_missing_argument,
    add_model_arguments,
    add_raw_weights_argument,
    split_list,
)

if TYPE_CHECKING:
    from kmax_tf.checkpoints.report import LoadReport

OWN, DEEPLAB2 = "own", "deeplab2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax import`."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="checkpoint of kmax_tf or deeplab2 (prefix, or a folder, which means its latest), of "
        "a whole model or an encoder alone, or ConvNeXt weights (.safetensors, .pth)",
    )
    add_model_arguments(parser, checkpoint=False)
    parser.add_argument("--output", required=True, help="prefix of the new checkpoint")
    add_allow_missing_argument(parser, "SOURCE")
    add_raw_weights_argument(parser)
    parser.add_argument(
        "--format",
        choices=(OWN, DEEPLAB2),
        default=OWN,
        help="names in the new checkpoint (default: own, which every command reads)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing checkpoint")
    parser.add_argument("--verbose", action="store_true", help="show all of long lists of names")


def run(arguments: argparse.Namespace) -> int:
    """Converts and prints the report; returns the exit code.

    Raises:
      ValueError: the config or the output is at fault, or the source, and its exceptions were not
        asked for.
    """
    config = load_config(arguments.config_file, arguments.set)
    folder = pathlib.Path(arguments.output).parent
    preflight.require_writable(folder, create=False, flag="--output")

    from kmax_tf.build.model import build_model
    from kmax_tf.checkpoints.formats import open_source
    from kmax_tf.checkpoints.loading import MisfitError, load_source
    from kmax_tf.checkpoints.report import format_report
    from kmax_tf.checkpoints.writing import require_writable_prefix, write_model

    allow_missing: List[str] = split_list(arguments.allow_missing)
    require_writable_prefix(arguments.output, overwrite=arguments.overwrite)
    source = open_source(arguments.source, raw_weights=bool(arguments.raw_weights))
    model = build_model(config)
    try:
        report = load_source(model, source, allow_missing=allow_missing, accept_encoder=True)
    except MisfitError as error:
        print(format_report(error.report, verbose=arguments.verbose, refused=True), flush=True)
        raise
    print(format_report(report, verbose=arguments.verbose))
    count = write_model(
        arguments.output,
        model,
        steps=source.steps,
        paths=report.loaded if report.encoder_alone else None,
        deeplab2_names=arguments.format == DEEPLAB2,
        overwrite=arguments.overwrite,
    )
    print(_describe(arguments, report, count))
    return 0


def _describe(arguments: argparse.Namespace, report: LoadReport, count: int) -> str:
    text = f"Wrote {arguments.output}: {count:,} variables in the layout of "
    text += "deeplab2" if arguments.format == DEEPLAB2 else "kmax_tf"
    if report.encoder_alone:
        return (
            f"{text}, the pixel encoder alone, for `model_options.initial_checkpoint` or "
            "`model_options.pretrained_weights` of a training."
        )
    if report.new:
        return f"{text}, {len(report.new):,} of them new, with initial values."
    return f"{text}."

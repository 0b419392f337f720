"""Flags that several sub-commands share."""

from __future__ import annotations

import argparse
from typing import List, Optional


def add_model_arguments(
    parser: argparse.ArgumentParser, *, checkpoint: bool = True, required: bool = True
) -> None:
    """Adds what names a model: `--config_file`, `--set` and `--checkpoint`.

    Args:
      parser: gets the flags.
      checkpoint: whether `--checkpoint` is one of them, and `--raw_weights` with it.
      required: whether config and checkpoint have to be given.
    """
    parser.add_argument("--config_file", required=required, help="experiment config (textproto)")
    if checkpoint:
        parser.add_argument(
            "--checkpoint",
            required=required,
            help="checkpoint prefix, or a folder, which means its latest checkpoint: RUN for the "
            "newest weights of a run, RUN/best for those with the best PQ, mIoU or mask AP, as its "
            "task says",
        )
        add_raw_weights_argument(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="overrides a field of the config, or fills ${NAME}; repeatable",
    )


def add_raw_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--raw_weights`; its value is None where it was not given."""
    parser.add_argument(
        "--raw_weights",
        action="store_true",
        default=None,
        help="take the weights of the last step from a checkpoint that also holds their moving "
        "average (trainer_options.ema_decay); default: the average",
    )


def add_allow_missing_argument(parser: argparse.ArgumentParser, source: str) -> None:
    """Adds `--allow_missing`.

    Args:
      parser: gets the flag.
      source: what may lack something, in words.
    """
    parser.add_argument(
        "--allow_missing",
        metavar="PART[,PART...]",
        help=f"what {source} may lack or hold in another shape, and what starts with initial "
        "values instead: `heads` = everything whose shape depends on the number of classes, "
        "`semantic_last_layer` = what deeplab2 calls so; else prefixes of variables "
        "(semantic_head)",
    )


def split_list(value: Optional[str]) -> List[str]:
    """The elements of a comma-separated flag; none where it was not given."""
    return [] if value is None else value.split(",")

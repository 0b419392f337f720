"""Flags that several sub-commands share."""

from __future__ import annotations

import argparse


def add_model_arguments(
    parser: argparse.ArgumentParser, *, checkpoint: bool = True, required: bool = True
) -> None:
    """Adds what names a model: `--config_file`, `--set` and `--checkpoint`.

    Args:
      parser: gets the flags.
      checkpoint: whether `--checkpoint` is one of them.
      required: whether config and checkpoint have to be given.
    """
    parser.add_argument("--config_file", required=required, help="experiment config (textproto)")
    if checkpoint:
        parser.add_argument(
            "--checkpoint",
            required=required,
            help="checkpoint prefix, or a folder, which means its latest checkpoint: RUN for the "
            "newest weights of a run, RUN/best for those with the best PQ",
        )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="overrides a field of the config, or fills ${NAME}; repeatable",
    )

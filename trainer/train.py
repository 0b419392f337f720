"""Trains and evaluates a model; `kmax train` takes the same flags.

python trainer/train.py --config_file=configs/coco/kmax_r50.textproto

The cheap checks come first: a forgotten data set is reported before TensorFlow is loaded.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Optional, Sequence

if __package__ in (None, ""):  # Started as a file: its folder is on the path, not the repository.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parent.parent)

from kmax_tf.build.config import load_config
from trainer import preflight
from trainer.arguments import add_allow_missing_argument, add_model_arguments
from trainer.cli import Parser
from trainer.cluster import read_cluster
from trainer.host_memory import limit_arenas
from trainer.user_errors import run_reporting_errors

MODES = ("train_and_eval", "train", "eval", "continuous_eval")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax train`."""
    add_model_arguments(parser, checkpoint=False)
    add_allow_missing_argument(parser, "model_options.initial_checkpoint")
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--model_dir", help="run folder (default: runs/<experiment_name>)")
    parser.add_argument("--num_gpus", type=int, help="default: all that are visible; 0 = CPU")
    parser.add_argument("--tpu", help="name or address of a TPU; `local` for one in this machine")
    parser.add_argument(
        "--workers",
        metavar="HOST:PORT,...",
        help="processes that train together, the chief first; every one is started with the same "
        "flags, and sees the same run folder and data (or give TF_CONFIG)",
    )
    parser.add_argument(
        "--worker_index",
        type=int,
        metavar="N",
        help="position of this process in --workers; default: the address that is this machine's",
    )
    parser.add_argument(
        "--check", action="store_true", help="look at config and data, print sizes, and exit"
    )


def run(arguments: argparse.Namespace) -> int:
    """Trains, evaluates or checks; returns the exit code.

    Raises:
      ValueError: the config, the data or the run folder is at fault.
    """
    overrides = list(arguments.set)
    if arguments.allow_missing is not None:
        overrides.append(f"model_options.allow_missing={arguments.allow_missing}")
    config = load_config(arguments.config_file, overrides)
    if arguments.allow_missing is not None and not config.model_options.initial_checkpoint:
        raise ValueError(
            "`--allow_missing` says what `model_options.initial_checkpoint` may lack, but that is "
            f"empty; received {arguments.allow_missing}."
        )
    cluster = read_cluster(arguments.workers, arguments.worker_index, os.environ)
    preflight.require_records(config, arguments.mode)
    model_dir = preflight.choose_run_folder(config, arguments.model_dir)
    if not arguments.check:
        preflight.require_weights(config, arguments.mode, model_dir)
    preflight.require_writable(model_dir, create=not arguments.check)

    from trainer import check, distribution, experiment

    if arguments.check:
        starts_anew = not (model_dir / "checkpoint").exists()
        replicas = distribution.count_replicas(num_gpus=arguments.num_gpus, cluster=cluster)
        return check.run_check(
            config,
            arguments.mode,
            starts_anew=starts_anew,
            num_replicas=1 if arguments.tpu else replicas,
        )
    return experiment.run_experiment(
        config,
        mode=arguments.mode,
        model_dir=model_dir,
        num_gpus=arguments.num_gpus,
        tpu=arguments.tpu,
        cluster=cluster,
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command line; `arguments` without the program's name, None = those of the process."""
    parser = Parser(prog="train.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    limit_arenas()
    return run_reporting_errors(lambda: run(parsed))


if __name__ == "__main__":
    sys.exit(main())

"""The `kmax` command: one sub-command per module, no logic."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn, Optional, Sequence

import kmax_tf  # Chooses Keras before a sub-command imports TensorFlow.
from trainer.host_memory import limit_arenas
from trainer.user_errors import USER_ERROR, run_reporting_errors

# A module has `add_arguments(parser)` and `run(arguments) -> exit code`.
SUBCOMMANDS = {
    "train": ("trainer.train", "train and evaluate a model"),
    "eval": ("trainer.eval_command", "metrics of a checkpoint"),
    "predict": ("trainer.predict_command", "panoptic pictures of images"),
    "export": ("trainer.export_command", "checkpoint -> SavedModel for TF Serving"),
    "serve-client": ("trainer.serve_client_command", "pictures of images by a TF Serving address"),
    "import": ("trainer.import_command", "weights of any known format -> checkpoint"),
    "build-data": ("trainer.build_data", "data set -> TFRecords"),
    "show-inputs": ("trainer.show_inputs_command", "picture of what the network is fed"),
    "data-service": ("trainer.data_service_command", "input for training on other machines"),
    "replay-step": ("trainer.replay_command", "make a step again that stopped on a numeric fault"),
    "bench": ("trainer.bench_command", "speed, memory and size of a model"),
    "doctor": ("trainer.doctor_command", "what is here, what is missing, and what mends it"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Prints the sentence and exits with 2."""
        print(f"kmax: {message}; see `{self.prog} --help`.", file=sys.stderr)
        sys.exit(USER_ERROR)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs `kmax SUBCOMMAND ...`.

    Args:
      arguments: without the program's name; None = those of the process.

    Returns:
      The exit code, see `trainer.user_errors`.
    """
    listing = "\n".join(f"  {name:<13}{text}" for name, (_, text) in SUBCOMMANDS.items())
    parser = Parser(
        prog="kmax",
        usage="kmax SUBCOMMAND ...",
        description=f"kMaX-DeepLab for TensorFlow and Keras.\n\nsub-commands:\n{listing}",
        epilog="`kmax SUBCOMMAND --help` lists its flags.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=kmax_tf.__version__)
    parser.add_argument(
        "subcommand", choices=SUBCOMMANDS, help=argparse.SUPPRESS, metavar="SUBCOMMAND"
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(given[:1]).subcommand
    module_name, text = SUBCOMMANDS[chosen]
    limit_arenas()

    def run() -> int:
        module = importlib.import_module(module_name)
        subparser = Parser(prog=f"kmax {chosen}", description=text, allow_abbrev=False)
        module.add_arguments(subparser)
        return module.run(subparser.parse_args(given[1:]))

    return run_reporting_errors(run)


if __name__ == "__main__":
    sys.exit(main())

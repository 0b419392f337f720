"""`kmax replay-step DUMP`: makes a training step again that stopped on a numeric fault."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from trainer.user_errors import FAULT

if TYPE_CHECKING:
    from trainer.fault_dump import Dump
    from trainer.replay import Replay

MOST_GRADIENTS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax replay-step`."""
    parser.add_argument("dump", metavar="DUMP", help="folder RUN/faults/step-N that the run wrote")
    parser.add_argument(
        "--find",
        action="store_true",
        help="also look which layer makes the first tensor that is not finite (layer by layer, "
        "without a graph: slower, and more memory)",
    )
    parser.add_argument(
        "--num_gpus", type=int, choices=(0, 1), default=None, help="default: one if there is one"
    )
    parser.add_argument(
        "--json", action="store_true", help="the last line of the output is one JSON object"
    )


def run(arguments: argparse.Namespace) -> int:
    """Makes the step, prints what is seen beside what was seen; 0 = the fault is there again.

    Raises:
      ValueError: the dump cannot be used.
    """
    from trainer.fault_dump import read_dump

    dump = read_dump(arguments.dump)  # What cannot be used is told before anything slow.

    import tensorflow as tf

    from trainer.replay import replay
    from trainer.versions import read_versions

    num_gpus = arguments.num_gpus
    if num_gpus is None:
        num_gpus = min(1, len(tf.config.list_physical_devices("GPU")))
    result = replay(dump, num_gpus=num_gpus, find=arguments.find)
    differences = _differences(dump.circumstances.versions, read_versions())
    for line in _describe(dump, result, differences):
        print(line)
    if arguments.find:
        print(f"First not finite: {result.origin or 'nothing in the forward pass'}.")
    if arguments.json:
        print(json.dumps(_as_json(result), allow_nan=False))
    sys.stdout.flush()
    return 0 if result.reproduced else FAULT


def _describe(dump: Dump, result: Replay, differences: List[str]) -> List[str]:
    """The report for people, in lines."""
    then, now = dump.report, result.report
    lines = [f"{dump.config.experiment_name}, {dump.circumstances.message}", ""]
    lines.append(f"{'':<40}{'then':>16}{'now':>16}")
    for name in now.values:
        before = then.values.get(name, math.nan)
        lines.append(f"{name:<40}{before:>16.9g}{now.values[name]:>16.9g}")
    lines += ["", f"{'image':<40}{'then':>16}{'now':>16}"]
    losses = zip(now.image_ids, then.image_losses, now.image_losses)
    for image, before, after in losses:
        lines.append(f"{image:<40}{before:>16.9g}{after:>16.9g}")
    lines += ["", f"{'norm of the gradient, largest first':<56}{'now':>16}"]
    lines += [f"{path:<56}{norm:>16.9g}" for path, norm in _largest(now.gradient_norms)]
    lines.append("")
    if dump.circumstances.replicas > 1:
        lines.append(
            f"It was made on {dump.circumstances.replicas} devices ({dump.circumstances.devices}) "
            "and now on one: sums are rounded in another way, and drop path draws differently."
        )
    if differences:
        lines.append(f"Other versions than then: {', '.join(differences)}.")
    if not result.reproduced:
        lines.append("Not reproduced: the step is sound, or other values are at fault now.")
    else:
        equal = "bit by bit the same" if result.bit_equal else "the same but for rounding"
        lines.append(f"Reproduced: the same values are at fault; all values are {equal}.")
    return lines


def _largest(norms: Dict[str, float]) -> List[Tuple[str, float]]:
    """The largest of the gradients, and before them those that are not finite."""
    ranked = sorted(norms.items(), key=lambda item: (math.isfinite(item[1]), -item[1]))
    return ranked[:MOST_GRADIENTS]


def _differences(then: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    changed = [name for name in then if then[name] != now.get(name)]
    return [f"{name} {then[name]} -> {now.get(name)}" for name in changed]


def _as_json(result: Replay) -> Dict[str, Any]:
    """Numbers that are not finite are null."""
    report = result.report
    return {
        "step": report.step,
        "reproduced": result.reproduced,
        "bit_equal": result.bit_equal,
        "faulty": report.faulty_values(),
        "values": {name: _finite(value) for name, value in report.values.items()},
        "images": {i: _finite(v) for i, v in zip(report.image_ids, report.image_losses)},
        "gradients": {path: _finite(norm) for path, norm in _largest(report.gradient_norms)},
        "origin": result.origin,
    }


def _finite(value: float) -> Any:
    return value if math.isfinite(value) else None

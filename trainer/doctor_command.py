"""`kmax doctor`: what is here, what is missing, and the command that mends it.

Works where TensorFlow does not: nothing here imports it, a process of its own tries.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Dict, List

from trainer.doctor.finding import Finding
from trainer.doctor.folders import find_data, find_room
from trainer.doctor.machine import find_machine
from trainer.doctor.probe import run_probe
from trainer.doctor.software import find_software

_FAULT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax doctor`."""
    parser.add_argument("--model_dir", default="runs", help="run folder (default: runs)")
    parser.add_argument("--json", action="store_true", help="the last line is one object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; returns 0 if training can work, else 1."""
    probed = run_probe()
    findings = [
        *find_software(probed),
        *find_machine(probed),
        find_data(),
        find_room(pathlib.Path(arguments.model_dir)),
    ]
    works = not any(finding.stops_training for finding in findings)
    if arguments.json:
        listed = [finding._asdict() for finding in findings]
        print(json.dumps({"training_works": works, "findings": listed}))
    else:
        print(_report(findings, works))
    return 0 if works else _FAULT


def _report(findings: List[Finding], works: bool) -> str:
    """The facts, then the problems, those that one command mends together."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{finding.name:<{width}}  {finding.value}" for finding in findings]
    problems: Dict[str, List[str]] = {}
    for finding in findings:
        if finding.problem:
            kind = "Training cannot work" if finding.stops_training else "Note"
            problems.setdefault(finding.remedy, []).append(f"{kind}: {finding.problem}")
    for remedy, sentences in problems.items():
        lines += ["", *sentences, f"  {remedy}"]
    return "\n".join([*lines, "", "Training can work." if works else "Training cannot work yet."])

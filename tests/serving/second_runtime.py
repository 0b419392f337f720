"""Builds and runs the C program against the TensorFlow library that pip installed."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

SOURCE = pathlib.Path(__file__).with_name("run_saved_model.c")
OTHER_PYTHON = "KMAX_OTHER_PYTHON"
"""Environment variable: an interpreter whose TensorFlow is another version than this one's."""

_DTYPES = {1: np.float32, 3: np.int32}  # By their numbers in TensorFlow.
_LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


class Run(NamedTuple):
    """What the program did.

    Attributes:
      code: its exit code.
      outputs: of `serving_default`, by name.
      lines: of standard output.
      errors: standard error.
    """

    code: int
    outputs: Dict[str, np.ndarray]
    lines: List[str]
    errors: str


def compiler() -> Optional[str]:
    """A C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def tensorflow_folder(python: str = sys.executable) -> pathlib.Path:
    """Where the TensorFlow of an interpreter lies."""
    code = (
        "import importlib.util as u; print(u.find_spec('tensorflow').submodule_search_locations[0])"
    )
    return pathlib.Path(subprocess.check_output([python, "-c", code], text=True).strip())


def other_python(root: pathlib.Path) -> Optional[str]:
    """The interpreter named by `OTHER_PYTHON`, or that of another environment of the Makefile."""
    named = os.environ.get(OTHER_PYTHON)
    if named:
        return named
    own = tensorflow_folder()
    for candidate in sorted(root.glob(".venv*/bin/python")):
        if tensorflow_folder(str(candidate)) != own:
            return str(candidate)
    return None


def build(folder: pathlib.Path, tensorflow: pathlib.Path) -> pathlib.Path:
    """Compiles the program; warnings are errors."""
    program = folder / "run_saved_model"
    command = [compiler(), "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", str(SOURCE)]
    command += ["-isystem", str(tensorflow / "include"), "-o", str(program)]
    command += [str(tensorflow / name) for name in _LIBRARIES] + [f"-Wl,-rpath,{tensorflow}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def run(
    program: pathlib.Path,
    saved_model: pathlib.Path,
    images: Sequence[pathlib.Path],
    folder: pathlib.Path,
) -> Run:
    """Sends image files to `serving_default` and replays the warm-up requests."""
    folder.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "1"}  # Nothing of Python.
    finished = subprocess.run(
        [str(program), str(saved_model), str(folder), *map(str, images)],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
    )
    lines = finished.stdout.splitlines()
    outputs = {}
    for line in lines:
        name, *numbers = line.split()
        path = folder / f"{name}.raw"
        if path.exists():
            dtype, *shape = map(int, numbers)
            outputs[name] = np.fromfile(path, _DTYPES[dtype]).reshape(shape)
    return Run(finished.returncode, outputs, lines, finished.stderr)

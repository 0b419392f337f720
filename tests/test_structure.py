"""The shape of the source tree: import direction, no cycles, file length, a test per file."""

from __future__ import annotations

import ast
import graphlib
import pathlib
from typing import Dict, Iterator, Set

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("protos", "kmax_tf", "evaluation", "trainer")
MAX_LINES = 400

# What each part of the library may import (itself always); anything not listed is forbidden.
READERS = {
    "kmax_tf.bounded_files",
    "kmax_tf.image_limits",
    "kmax_tf.json_files",
    "kmax_tf.safe_paths",
}
FOUNDATION = READERS | {
    "kmax_tf.structures",
    "kmax_tf.shapes",
    "kmax_tf.labels",
    "kmax_tf.palette",
    "kmax_tf.uniform",
}
PARTS = FOUNDATION | {"kmax_tf.layers"}
ALLOWED = {
    "kmax_tf.structures": set(),
    "kmax_tf.finite": {"kmax_tf.structures"},
    "kmax_tf.shapes": {"kmax_tf.structures"},
    "kmax_tf.labels": {"kmax_tf.structures"},
    "kmax_tf.uniform": set(),
    "kmax_tf.bounded_files": set(),
    "kmax_tf.image_limits": {"kmax_tf.bounded_files"},
    "kmax_tf.json_files": {"kmax_tf.bounded_files"},
    "kmax_tf.safe_paths": set(),
    "kmax_tf.palette": set(),
    "kmax_tf.layers": FOUNDATION,
    "kmax_tf.pixel_encoders": PARTS,
    "kmax_tf.pixel_decoders": PARTS | {"kmax_tf.pixel_encoders"},
    "kmax_tf.heads": PARTS,
    "kmax_tf.transformer_decoders": PARTS | {"kmax_tf.heads"},
    "kmax_tf.models": PARTS
    | {
        "kmax_tf.finite",
        "kmax_tf.pixel_encoders",
        "kmax_tf.pixel_decoders",
        "kmax_tf.heads",
        "kmax_tf.transformer_decoders",
        "kmax_tf.matching",
    },
    "kmax_tf.matching": FOUNDATION,
    "kmax_tf.losses": FOUNDATION | {"kmax_tf.matching"},
    "kmax_tf.data": FOUNDATION,
    "kmax_tf.post_processing": FOUNDATION,
    "kmax_tf.checkpoints": FOUNDATION,
    "kmax_tf.results": FOUNDATION,
}


def source_files() -> Iterator[pathlib.Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.endswith("_pb2.py"):
                yield path


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: pathlib.Path, top_level_only: bool = False) -> Set[str]:
    """Modules of this project that a file imports; `from a import b` is `a.b` if that is one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: Set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if _is_module(name) else node.module)
    return {name for name in found if name.split(".")[0] in PACKAGES}


def _is_module(name: str) -> bool:
    path = ROOT / pathlib.Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def part_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "kmax_tf" and len(parts) > 1 else parts[0]


FILES = list(source_files())
IDS = [str(path.relative_to(ROOT)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_packages_import_in_one_direction(path: pathlib.Path):
    own = module_name(path).split(".")[0]
    for imported in imported_modules(path):
        other = imported.split(".")[0]
        assert PACKAGES.index(other) <= PACKAGES.index(own), f"{own} must not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_parts_of_the_library_import_in_one_direction(path: pathlib.Path):
    module = module_name(path)
    own = part_of(module)
    if own not in ALLOWED:
        return  # build, export, predictor, evaluation, trainer stand on top.
    for imported in imported_modules(path):
        other = part_of(imported)
        if other in (own, "kmax_tf"):
            continue
        assert other in ALLOWED[own], f"{module} must not import {imported}"


def test_only_build_and_the_commands_read_config_messages():
    allowed = ("kmax_tf.build", "evaluation", "trainer", "protos", "kmax_tf.predictor")
    for path in FILES:
        module = module_name(path)
        if module.startswith(allowed) or module.startswith("kmax_tf.export"):
            continue
        protos = [name for name in imported_modules(path) if name.startswith("protos")]
        assert not protos, f"{module} imports {protos}"


def test_no_import_cycles():
    graph: Dict[str, Set[str]] = {
        module_name(path): {
            name for name in imported_modules(path, top_level_only=True) if name != "kmax_tf"
        }
        for path in FILES
    }
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError, which names the cycle.


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_are_short(path: pathlib.Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path.name} has {lines} lines; split it by concept"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_file_has_its_test(path: pathlib.Path):
    if path.name == "__init__.py":
        return
    relative = path.relative_to(ROOT)
    parts = relative.parts[1:] if relative.parts[0] == "kmax_tf" else relative.parts
    expected = ROOT / "tests" / pathlib.Path(*parts[:-1]) / f"test_{parts[-1]}"
    assert expected.exists(), f"{relative} needs {expected.relative_to(ROOT)}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_asserts_outside_tests(path: pathlib.Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not lines, f"{path.name} asserts in lines {lines}; raise ValueError instead"

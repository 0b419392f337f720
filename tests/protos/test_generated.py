"""The committed modules are what protoc makes of the `.proto` files; every field is explained."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest


def test_generated_modules_are_fresh(repository_root: pathlib.Path, tmp_path: pathlib.Path):
    pytest.importorskip(
        "grpc_tools", reason="grpcio-tools of the right age exists only for Python 3.9 - 3.11"
    )
    protos = sorted(p.relative_to(repository_root) for p in repository_root.glob("protos/*.proto"))
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}"]
        + [f"--pyi_out={tmp_path}", *map(str, protos)],
        cwd=repository_root,
        check=True,
    )
    made = sorted(path for path in tmp_path.rglob("*_pb2.py*"))
    assert len(made) == 2 * len(protos)
    for path in made:
        committed = repository_root / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), f"{committed.name}: run `make protos`"


def test_every_field_has_a_comment(repository_root: pathlib.Path):
    field = re.compile(r"^\s*(optional|repeated|required)?\s*[\w.]+ \w+ = \d+.*;")
    enum_value = re.compile(r"^\s*[A-Z0-9_]+ = \d+;")
    for path in repository_root.glob("protos/*.proto"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if not field.match(line) or enum_value.match(line):
                continue
            above = number - 1
            # A comment may stand over fields that belong together, over a oneof or after an enum.
            while field.match(lines[above]) or lines[above].strip().startswith("oneof"):
                above -= 1
            if lines[above].strip() == "}":
                continue
            assert lines[above].strip().startswith("//"), f"{path.name}:{number + 1}: {line}"

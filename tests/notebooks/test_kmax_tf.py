"""The notebook: stripped of outputs, and every cell runs from install to fine-tuning."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from typing import List

import pytest


@pytest.fixture
def cells(repository_root) -> List[str]:
    """Source of the code cells."""
    content = json.loads((repository_root / "notebooks/kmax_tf.ipynb").read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    return ["".join(cell["source"]) for cell in code]


def test_cells_are_python_without_outputs(cells):
    assert len(cells) > 8
    for source in cells:
        ast.parse(source)


def test_pictures_of_the_text_are_there(repository_root):
    """Without outputs they are all that a reader sees who does not run the notebook."""
    text = (repository_root / "notebooks/kmax_tf.ipynb").read_text()
    paths = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(paths) == 2
    assert all((repository_root / "notebooks" / path).is_file() for path in paths)


@pytest.mark.slow  # two training runs, two predictors
def test_every_cell_runs(cells, repository_root, tmp_path):
    program = tmp_path / "notebook.py"
    program.write_text("\n\n".join(cells))
    environment = {
        **os.environ,
        "KMAX_NOTEBOOK_QUICK": "1",
        "KMAX_NOTEBOOK_WORK": str(tmp_path / "work"),
        "PYTHONPATH": str(repository_root),
    }
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=repository_root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "val_000001_instance.png" in done.stdout
    labels = json.loads((tmp_path / "work/second_run/labels.json").read_text())
    assert [entry["name"] for entry in labels["classes"]] == ["round", "angular", "sky", "ground"]
    for run in ("first_run", "second_run"):
        lines = (tmp_path / "work" / run / "metrics.jsonl").read_text().splitlines()
        assert any("eval/pq" in json.loads(line) for line in lines)

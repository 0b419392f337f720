"""The metrics that a run has written."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, List


def metric_rows(folder: pathlib.Path) -> List[Dict[str, Any]]:
    """The lines of `metrics.jsonl`."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

"""`metrics.jsonl`: one JSON object per summary, nothing that depends on time or machine."""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import Any, Dict, List, Mapping


class MetricsFile:
    """Appends to the metrics of a run.

    Args:
      path: the file; it need not exist.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = pathlib.Path(path)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line with `step` and `values`; what is not finite is written as null."""
        row: Dict[str, Any] = {"step": step}
        for name, value in values.items():
            row[name] = float(value) if math.isfinite(value) else None
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> List[Dict[str, Any]]:
        """All lines so far; half a line, left by a crash, is dropped."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def cut_after(self, step: int) -> None:
        """Drops the lines of later steps, which a resumed run will write again; atomic."""
        rows = self.rows()
        if not self._path.exists():
            return
        kept = "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step)
        temporary = self._path.with_name(self._path.name + ".tmp")
        temporary.write_text(kept, encoding="utf-8")
        os.replace(temporary, self._path)

    def has_evaluation(self, step: int) -> bool:
        """Whether the weights of `step` were evaluated."""
        return any(
            row["step"] == step and any(name.startswith("eval/") for name in row)
            for row in self.rows()
        )

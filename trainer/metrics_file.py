"""`metrics.jsonl`: one JSON object per summary, nothing that depends on time or machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import pathlib
from typing import Any, BinaryIO, Dict, Iterator, List, Mapping, Optional

from kmax_tf.json_files import JsonError, parse_json
from trainer.storage import storing


class MetricsFile:
    """Appends to the metrics of a run; several processes may (training, `continuous_eval`).

    Args:
      path: the file; it need not exist.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = pathlib.Path(path)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line with `step` and `values`; what is not finite is written as null.

        Raises:
          StorageError: it cannot be written; half a line is cut off by the next call.
        """
        row: Dict[str, Any] = {"step": step}
        for name, value in values.items():
            row[name] = float(value) if math.isfinite(value) else None
        with storing(self._path), self._locked() as file:
            _end_last_line(file)
            file.write(_line(row))

    def rows(self) -> List[Dict[str, Any]]:
        """All lines so far; half a line, left by a crash, is dropped like any that is no row."""
        if not self._path.exists():
            return []
        rows = map(_row, self._path.read_bytes().split(b"\n"))
        return [row for row in rows if row is not None]

    def cut_after(self, step: int) -> None:
        """Drops the lines of later steps, which a resumed run will write again; atomic."""
        if not self._path.exists():
            return
        with storing(self._path), self._locked():
            kept = b"".join(_line(row) for row in self.rows() if row["step"] <= step)
            temporary = self._path.with_name(self._path.name + ".tmp")
            temporary.write_bytes(kept)
            os.replace(temporary, self._path)

    def has_evaluation(self, step: int) -> bool:
        """Whether the weights of `step` were evaluated."""
        return any(
            row["step"] == step and any(name.startswith("eval/") for name in row)
            for row in self.rows()
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, opened for appending, for this process alone."""
        while True:
            with self._path.open("a+b") as file:
                # Some network file systems have no locks; there, one process at a time is as safe.
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                # While this process waited, another may have put a new file in its place.
                if self._path.exists() and os.path.samestat(
                    os.fstat(file.fileno()), self._path.stat()
                ):
                    yield file
                    return


def _line(row: Mapping[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode("utf-8")


def _row(line: bytes) -> Optional[Dict[str, Any]]:
    """The object with a `step` that a line holds, or None."""
    try:
        row = parse_json(line)
    except JsonError:
        return None
    return row if isinstance(row, dict) and type(row.get("step")) is int else None


def _end_last_line(file: BinaryIO) -> None:
    """Completes a last line that has no end, or cuts it off where a crash left half of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read() in (b"", b"\n"):
        return
    file.seek(0)
    last = file.read().rpartition(b"\n")[2]
    if _row(last) is None:
        file.truncate(size - len(last))
    else:
        file.write(b"\n")

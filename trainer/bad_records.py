"""The records that a run has found unusable and leaves out: counted, listed and remembered."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from kmax_tf.bounded_files import read_bounded
from kmax_tf.build.data import find_bad_records, find_source
from kmax_tf.data.record_check import BadRecord, find_damaged_files
from kmax_tf.json_files import JsonError, parse_json
from protos import data_pb2
from trainer.data_errors import TRAIN
from trainer.storage import storing

LIST = "bad_records.jsonl"
"""Name of the list in the run folder, one JSON object per record."""

_MOST_BYTES = 64 * 2**20


class _Entry(NamedTuple):
    """A bad record and the training step from which it is left out."""

    bad: BadRecord
    step: int


class BadRecords:
    """The bad records of one data set of a run.

    What an earlier process has listed counts and stays left out, unless its file has been made
    again (it has another size or time of change) or is no longer part of the data set.

    Args:
      options: the data set.
      part: its field in the config, `TRAIN` or `EVAL`.
      path: the list; None = none is kept.
      report: prints a line.
      goes_on: whether this process can leave a record out while it runs; where several make every
        step together, it stops, and leaves the record out when it is started again.

    Raises:
      ValueError: there are already more than `max_bad_records`; names all of them.
    """

    def __init__(
        self,
        options: data_pb2.DatasetOptions,
        *,
        part: str,
        path: Optional[pathlib.Path],
        report: Callable[[str], None],
        goes_on: bool = True,
    ) -> None:
        self._options = options
        self._part = part
        self._path = path
        self._report = report
        self._goes_on = goes_on
        source = find_source(options)
        self._first_ids = dict(zip(source.files, source.first_ids.tolist()))
        self._versions = {
            file: [index.size, index.modified] for file, index in zip(source.files, source.indexes)
        }
        self._entries = self._read()
        damages = find_damaged_files(source)
        self._add([bad for bad in damages if _key(bad) not in self._entries], step=0)
        if self.excluded:
            listed = "" if self._path is None else f" ({self._path})"
            report(f"`{part}`: {len(self.excluded)} bad records are left out{listed}.")

    @property
    def excluded(self) -> Dict[int, int]:
        """Image id -> training step from which the record is left out; as `build_dataset` takes."""
        return {
            entry.bad.image_id: entry.step
            for entry in self._entries.values()
            if entry.bad.image_id is not None
        }

    def search(self, *, seed: int = 0, step: int = 0) -> bool:
        """Looks for the records at which the input has stopped, and leaves them out from now on.

        Args:
          seed: of the order of training.
          step: number of training steps made.

        Returns:
          Whether there are any; otherwise the error is another one.

        Raises:
          ValueError: more than `max_bad_records`, or this process cannot go on without them.
          StorageError: the list cannot be written.
        """
        found = find_bad_records(
            self._options,
            training=self._part == TRAIN,
            seed=seed,
            start_step=step,
            excluded=self.excluded,
        )
        # One more than allowed is enough to stop.
        most = max(self._options.max_bad_records - len(self._entries), 0) + 1
        new = list(itertools.islice(found, most))
        self._add(new, step=step)
        if new and not self._goes_on:
            raise ValueError(
                f"{_join(new)}; now listed in {self._path}: start the run again, which leaves "
                "such records out."
            )
        return bool(new)

    def _add(self, new: List[BadRecord], *, step: int) -> None:
        entries = {**self._entries, **{_key(bad): _Entry(bad, step) for bad in new}}
        limit = self._options.max_bad_records
        if len(entries) > limit:
            begin = f"{len(entries)} bad records are too many: " if limit else ""
            raise ValueError(
                f"{begin}{_join([entry.bad for entry in entries.values()])}; "
                f"`{self._part}.max_bad_records` ({limit}) says how many may be left out."
            )
        self._write([entries[_key(bad)] for bad in new])
        self._entries = entries
        for bad in new:
            self._report(f"Left out: {bad} (`{self._part}`, {len(entries)} of at most {limit}).")

    def _read(self) -> Dict[Tuple[str, int], _Entry]:
        if self._path is None or not self._path.exists():
            return {}
        entries = map(self._parse, read_bounded(self._path, _MOST_BYTES).split(b"\n"))
        return {_key(entry.bad): entry for entry in entries if entry is not None}

    def _parse(self, line: bytes) -> Optional[_Entry]:
        """An entry of this data set as it is now; None for others, and for half a line."""
        try:
            row = parse_json(line)
            if row["part"] != self._part or self._versions[row["file"]] != row["version"]:
                return None
            record, step, whole = int(row["record"]), int(row["step"]), row["whole_rest"]
            image_id = None if whole else self._first_ids[row["file"]] + record
            name, problem = str(row["image_name"]), str(row["problem"])
            return _Entry(BadRecord(image_id, row["file"], record, name, problem), step)
        except (JsonError, KeyError, TypeError, ValueError):
            return None

    def _write(self, entries: List[_Entry]) -> None:
        if self._path is None or not entries:
            return
        text = "".join(json.dumps(self._row(entry)) + "\n" for entry in entries)
        with storing(self._path), self._path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            # Half a line that a crash has left must not take this one with it.
            begin = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(begin + text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _row(self, entry: _Entry) -> Dict[str, Any]:
        return {
            "part": self._part,
            **entry.bad._asdict(),
            "step": entry.step,
            "whole_rest": entry.bad.image_id is None,
            "version": self._versions[entry.bad.file],
        }


def _key(bad: BadRecord) -> Tuple[str, int]:
    """What identifies a record; it may be found again, at an earlier step of another order."""
    return bad.file, bad.record


def _join(found: List[BadRecord]) -> str:
    return "; ".join(map(str, found))

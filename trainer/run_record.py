"""`run.json`: every start of a training, with what its result depends on.

    {"data": {"train_dataset_options": {"train-00000-of-00001.tfrecord":
                {"size": 91532, "records": 24, "sha256": "..."}}},
     "sessions": [{"step": 0, "mode": "train_and_eval", "seed": 1, "devices": "CPU", "threads": 2,
                   "config_sha256": "...", "versions": {"python": "3.11.7", ...}, "changes": []}]}

`data` is that of the last session; a session lists under `changes` what differs from the one
before. Sessions are only ever appended. A run is repeated bit for bit only where nothing changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any, Dict, List, Mapping, Sequence

from kmax_tf.data.fingerprint import FileFingerprint
from kmax_tf.json_files import MAX_DESCRIPTION_BYTES, read_json
from trainer.versions import read_versions

RUN_RECORD = "run.json"

Fingerprints = Mapping[str, Sequence[FileFingerprint]]


def record_session(
    model_dir: pathlib.Path,
    *,
    step: int,
    mode: str,
    seed: int,
    devices: str,
    config_text: str,
    data: Fingerprints,
) -> List[str]:
    """Appends a session to `run.json`; atomic.

    Args:
      model_dir: run folder.
      step: number of steps made before.
      mode: of the run.
      seed: of the run.
      devices: what it computes on.
      config_text: the effective config.
      data: fingerprints by the config's name of the data set.

    Returns:
      What differs from the session before, one phrase each.

    Raises:
      ValueError: the file is there but not such a record.
    """
    path = model_dir / RUN_RECORD
    record = _read(path)
    session = {
        "step": step,
        "mode": mode,
        "seed": seed,
        "devices": devices,
        "threads": len(os.sched_getaffinity(0)),
        "config_sha256": hashlib.sha256(config_text.encode("utf-8")).hexdigest(),
        "versions": read_versions(),
    }
    described = {part: _by_name(files) for part, files in data.items()}
    changes: List[str] = []
    if record["sessions"]:
        changes += _changed_values(record["sessions"][-1], session)
        for part in described.keys() & record["data"].keys():
            changes += _changed_files(part, record["data"][part], described[part])
    session["changes"] = changes
    record["sessions"].append(session)
    record["data"].update(described)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return changes


def _read(path: pathlib.Path) -> Dict[str, Any]:
    if not path.exists():
        return {"data": {}, "sessions": []}
    try:
        record = read_json(path, MAX_DESCRIPTION_BYTES)
        if isinstance(record["sessions"], list) and isinstance(record["data"], dict):
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} must be the record of a run, as kmax writes it: move it away.")


def _by_name(files: Sequence[FileFingerprint]) -> Dict[str, Dict[str, Any]]:
    return {
        file.name: {"size": file.size, "records": file.records, "sha256": file.sha256}
        for file in files
    }


def _changed_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> List[str]:
    """Of the environment and the seed; the config's own fields are named by the run folder."""
    before = {**old, **old["versions"]}
    after = {**new, **new["versions"]}
    ignored = ("step", "mode", "versions", "changes", "config_sha256")
    return [
        f"{name} {before.get(name)} -> {after[name]}"
        for name in after
        if name not in ignored and before.get(name) != after[name]
    ]


def _changed_files(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> List[str]:
    """Of one data set; also where only the order of the files is another."""
    changes = [f"{part}: {name} is gone" for name in old if name not in new]
    for name, fingerprint in new.items():
        if name not in old:
            changes.append(f"{part}: {name} is new")
        elif fingerprint != old[name]:
            changes.append(f"{part}: {name} has another content")
    if not changes and list(old) != list(new):
        changes.append(f"{part}: the files have another order")
    return changes

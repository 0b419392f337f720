"""Whether two run folders hold the same, bit for bit, and where not."""

from __future__ import annotations

import pathlib
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

import numpy as np
import tensorflow as tf

# Wall-clock times, process histories and event streams: compared by what they mean, or not at all.
_APART = ("checkpoint", "best/checkpoint", "run.json")
_TIMED = ("images_per_second",)
# Names beside the values: layers that one process makes later are numbered on.
_NAMES = "_CHECKPOINTABLE_OBJECT_GRAPH"

Events = Dict[Tuple[str, int], List[bytes]]


class Comparison(NamedTuple):
    """What was found.

    Attributes:
      equal: sentences about what is the same.
      different: sentences about what is not; empty after an exact recovery.
      remarks: sentences about what need not be the same.
    """

    equal: List[str]
    different: List[str]
    remarks: List[str]


def compare_runs(expected: pathlib.Path, actual: pathlib.Path) -> Comparison:
    """Compares two finished run folders of the same command."""
    found = Comparison([], [], [])
    kept = [_compare_checkpoints(expected, actual, part, found) for part in ("", "best")]
    _compare_files(expected, actual, set().union(*kept), found)
    for part in ("train", "eval"):
        _compare_events(expected / part, actual / part, part, found)
    return found


def _compare_checkpoints(
    expected: pathlib.Path, actual: pathlib.Path, part: str, found: Comparison
) -> Set[str]:
    """Compares every tensor of the checkpoints that `expected` keeps; returns their prefixes."""
    names = [pathlib.Path(p).name for p in _state(expected / part).all_model_checkpoint_paths]
    newest = pathlib.Path(_state(actual / part).model_checkpoint_path).name
    if newest != names[-1]:
        found.different.append(f"{part or '.'}: the newest is {newest}, not {names[-1]}")
    for name in names:
        label = f"{part}/{name}" if part else name
        if not (actual / part / f"{name}.index").exists():
            found.different.append(f"{label} is missing")
            continue
        readers = [tf.train.load_checkpoint(str(f / part / name)) for f in (expected, actual)]
        tensors = [set(reader.get_variable_to_shape_map()) - {_NAMES} for reader in readers]
        unequal = sorted(tensors[0] ^ tensors[1])
        for tensor in sorted(tensors[0] & tensors[1]):
            values = [np.asarray(reader.get_tensor(tensor)) for reader in readers]
            if values[0].dtype != values[1].dtype or not _same_bits(*values):
                unequal.append(tensor)
        if unequal:
            found.different.append(f"{label}: {len(unequal)} tensors, {', '.join(unequal[:5])}")
        else:
            found.equal.append(f"{label}: all {len(tensors[0])} tensors")
    return {f"{part}/{name}" if part else name for name in names}


def _state(folder: pathlib.Path) -> tf.compat.v1.train.CheckpointState:
    state = tf.train.get_checkpoint_state(str(folder))
    if state is None:
        raise ValueError(f"{folder} holds no checkpoint.")
    return state


def _same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype == object:  # serialised Python state
        return left.tolist() == right.tolist()
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def _compare_files(
    expected: pathlib.Path, actual: pathlib.Path, checkpoints: Set[str], found: Comparison
) -> None:
    names = [set(_files(folder, checkpoints)) for folder in (expected, actual)]
    for name in sorted(names[0] - names[1]):
        found.different.append(f"{name} is missing")
    for name in sorted(names[1] - names[0]):
        # Killed between the listing of a new checkpoint and the removal of an old one.
        old = pathlib.Path(name).name.startswith("ckpt-") and "_temp" not in name
        where = found.remarks if old else found.different
        where.append(f"{name} was left over")
    for name in sorted(names[0] & names[1]):
        same = (expected / name).read_bytes() == (actual / name).read_bytes()
        (found.equal if same else found.different).append(name)


def _files(folder: pathlib.Path, checkpoints: Set[str]) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        known = name in _APART or name.partition(".")[0] in checkpoints
        if path.is_file() and not known and "events.out" not in path.name:
            yield name


def _compare_events(
    expected: pathlib.Path, actual: pathlib.Path, part: str, found: Comparison
) -> None:
    """TensorBoard: every life appends a file; what it repeats must be what was there before."""
    wanted, events = _read_events(expected), _read_events(actual)
    lost, extra = sorted(set(wanted) - set(events)), sorted(set(events) - set(wanted))
    unequal = [
        key
        for key in sorted(set(wanted) & set(events))
        if key[0] not in _TIMED and set(events[key]) != set(wanted[key])
    ]
    for word, keys in (("lost", lost), ("more", extra), ("unequal", unequal)):
        if keys:
            found.different.append(f"TensorBoard {part}/: {len(keys)} {word}, first {keys[0]}")
    if not lost and not extra and not unequal:
        found.equal.append(f"TensorBoard {part}/: all {len(wanted)} values, but for the speed")
    repeated = sum(len(values) - 1 for values in events.values())
    files = len(list(actual.glob("events.out*")))
    found.remarks.append(
        f"TensorBoard {part}/: {files} files, {repeated} repeated values (lost steps, done again)"
    )


def _read_events(folder: pathlib.Path) -> Events:
    """(tag, step) -> serialised values, in the order of the files."""
    events: Events = {}
    for path in sorted(folder.glob("events.out*")):
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    content = value.tensor.SerializeToString(deterministic=True)
                    events.setdefault((value.tag, event.step), []).append(content)
        except tf.errors.DataLossError:  # killed while it wrote the last one
            continue
    return events

"""Which checkpoint of a folder to continue from, where some are damaged.

A checkpoint that the file `checkpoint` names was complete once, but a disk may lose what it had not
written when the machine went down, and files get cut off when they are copied. So the newest is
read as a whole (the checksums of TensorFlow tell) before a run relies on it.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
from typing import Dict, List, Optional

import tensorflow as tf

STATE = "checkpoint"
DAMAGED = "damaged-"

_INDEX = re.compile(r"(ckpt-(\d+))\.index")


def describe_damage(prefix: str) -> Optional[str]:
    """What is wrong with a checkpoint; None where every value can be read."""
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
    return None


def recover(folder: pathlib.Path, *, required: bool = True) -> List[str]:
    """Makes the newest sound checkpoint of `folder` the one that the file `checkpoint` names.

    Damaged ones that are newer are renamed. Only the process that writes the checkpoints of
    `folder` may call it, before its manager is made.

    Args:
      folder: of the checkpoints; it need not exist.
      required: whether it is an error when all are damaged; else a run goes on without.

    Returns:
      Sentences about what was found damaged; empty where all is well.

    Raises:
      ValueError: there are checkpoints, but none can be used.
    """
    state = _read_state(folder)
    found = _list_prefixes(folder)
    state_exists = (folder / STATE).exists()
    names = state + [name for name in found if name not in state]
    damaged: Dict[str, str] = {}
    for position, name in enumerate(names):
        damage = describe_damage(str(folder / name))
        if damage is None:
            if damaged or not state or _leads_elsewhere(folder):
                older = [n for n in names[position + 1 :] if n in found and _step(n) < _step(name)]
                _write_state(folder, [*sorted(older, key=_step), name])
            return _move_aside(folder, damaged, state_exists and not state, name)
        damaged[name] = damage
    if not names and not state_exists:
        return []
    # Without the file `checkpoint`, one that is damaged is a first save that was cut off.
    if required and (state_exists or len(names) > 1):
        listed = "; ".join(f"{name}: {damage}" for name, damage in damaged.items())
        raise ValueError(
            f"`--model_dir` {folder} holds no checkpoint that can be used "
            f"({listed or f'{STATE}: cannot be read'}): move what is damaged away to start anew, "
            "or choose another folder."
        )
    notes = _move_aside(folder, damaged, False, None)
    if state_exists:
        (folder / STATE).replace(folder / f"{DAMAGED}{STATE}")
    return notes


def require_sound(folder: pathlib.Path) -> None:
    """Raises ValueError where the checkpoint that `folder` names as its newest is damaged."""
    for name in _read_state(folder)[:1]:
        damage = describe_damage(str(folder / name))
        if damage is not None:
            raise ValueError(
                f"The newest checkpoint in `--model_dir` {folder} is damaged ({name}: {damage}): "
                "`--mode=train` would continue from the one before, and "
                "`model_options.initial_checkpoint` can name one to evaluate in another folder."
            )


def _read_state(folder: pathlib.Path) -> List[str]:
    """Names that the file `checkpoint` lists, newest first; none where it cannot be read."""
    try:
        state = tf.train.get_checkpoint_state(str(folder))
    except ValueError:  # Empty, or no text.
        return []
    if state is None:
        return []
    paths = [state.model_checkpoint_path, *reversed(state.all_model_checkpoint_paths)]
    return list(dict.fromkeys(os.path.basename(path) for path in paths))


def _leads_elsewhere(folder: pathlib.Path) -> bool:
    """Whether the file `checkpoint` lists files of other folders, as after it was copied.

    They would be restored in place of those here, and removed as the older ones of this run.
    """
    state = tf.train.get_checkpoint_state(str(folder))
    paths = (state.model_checkpoint_path, *state.all_model_checkpoint_paths) if state else ()
    here = os.path.abspath(folder)
    return any(os.path.dirname(os.path.abspath(path)) != here for path in paths)


def _list_prefixes(folder: pathlib.Path) -> List[str]:
    """Names of the checkpoints whose index is there, newest first."""
    files = [_INDEX.fullmatch(path.name) for path in folder.glob("ckpt-*.index")]
    return sorted((match[1] for match in files if match), key=_step, reverse=True)


def _step(name: str) -> int:
    return int(name.rpartition("-")[2])


def _write_state(folder: pathlib.Path, names: List[str]) -> None:
    """Writes the file `checkpoint` as TensorFlow does, oldest first."""
    times = [(folder / f"{name}.index").stat().st_mtime for name in names]
    lines = [f"model_checkpoint_path: {json.dumps(names[-1])}"]
    lines += [f"all_model_checkpoint_paths: {json.dumps(name)}" for name in names]
    lines += [f"all_model_checkpoint_timestamps: {time!r}" for time in times]
    # Below all others: the manager would never remove what is not younger.
    lines.append(f"last_preserved_timestamp: {min(times) - 1.0!r}")
    temporary = folder / f"{STATE}.tmp"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(temporary, folder / STATE)


def _move_aside(
    folder: pathlib.Path, damaged: Dict[str, str], state_lost: bool, used: Optional[str]
) -> List[str]:
    """Renames the files of damaged checkpoints; returns a sentence for each."""
    going_on = f"continuing from {used}" if used else "going on without"
    notes = []
    if state_lost:
        notes.append(f"{folder / STATE} cannot be read; {going_on}, the newest that is sound.")
    for name, damage in damaged.items():
        kept = _free_name(folder, name)
        for path in folder.glob(f"{name}.*"):
            path.replace(folder / path.name.replace(name, kept, 1))
        notes.append(f"{folder / name} is damaged ({damage}); kept as {kept}, {going_on}.")
    return notes


def _free_name(folder: pathlib.Path, name: str) -> str:
    """A name under which there are no files yet."""
    free = f"{DAMAGED}{name}"
    for number in itertools.count(1):
        if not any(folder.glob(f"{free}.*")):
            break
        free = f"{DAMAGED}{name}-{number}"
    return free

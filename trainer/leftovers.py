"""What a process that was killed while it wrote a checkpoint leaves behind."""

from __future__ import annotations

import pathlib
import shutil

# TensorFlow writes a checkpoint into a folder of its own first, and the list of checkpoints into a
# file with a random name.
_PARTS = "ckpt-*_temp"
_STATES = "checkpoint.tmp*"


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes unfinished checkpoints: nothing reads them, and each may be as large as a whole one.

    Only the process that writes the checkpoints of `folder` may call it, before the first.
    """
    for part in folder.glob(_PARTS):
        shutil.rmtree(part)
    for state in folder.glob(_STATES):
        state.unlink()

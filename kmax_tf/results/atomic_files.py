"""Files that appear at once or not at all, so that a stopped run leaves no half of one."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable, Union

PathLike = Union[str, "os.PathLike[str]"]


def write_atomically(path: PathLike, write: Callable[[pathlib.Path], Any]) -> None:
    """Writes a file beside `path` and moves it there; the folder is made where it is missing.

    Args:
      path: the file.
      write: called with the path to write to, whose suffix is not that of `path`.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)

"""Names that come out of data: they may name files of one folder, and nothing outside of it."""

from __future__ import annotations

import os
import pathlib
import re
import reprlib
from typing import Union

MAX_NAME_BYTES = 200
"""File systems allow 255 for a name; suffixes and the marks of temporary files come on top."""

MAX_PATH_BYTES = 4096

_SEPARATORS = re.compile(r"[/\\\0]")


def path_inside(folder: Union[str, os.PathLike], name: str, *, what: str) -> pathlib.Path:
    """Path of a file that data names, relative to the folder that data is about.

    Links that the owner of the folder put there are followed: data sets often lie on other disks.

    Args:
      folder: that must not be left.
      name: relative path out of a data file.
      what: names the field, and the file it is in, at the beginning of the message.

    Raises:
      ValueError: an absolute path, one with `..`, or none at all.
    """
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0].endswith(":")
    bad = name.startswith(("/", "\\")) or drive or ".." in parts or "\0" in name
    if bad or not name.strip("./\\ ") or len(os.fsencode(_encodable(name))) > MAX_PATH_BYTES:
        raise ValueError(
            f"{what} must be a path inside {os.fspath(folder)}, relative and without `..`; "
            f"received {reprlib.repr(name)}."
        )
    return pathlib.Path(folder, name)


def require_file_name(name: str, *, what: str) -> str:
    """Returns a name out of data that a file is to be called by; without folder and suffix.

    Args:
      name: the name.
      what: names the argument at the beginning of the message.

    Raises:
      ValueError: it is empty, has a separator of folders, or is too long.
    """
    too_long = len(os.fsencode(_encodable(name))) > MAX_NAME_BYTES
    if not name or name in (".", "..") or _SEPARATORS.search(name) or too_long:
        raise ValueError(
            f"{what} must be the name of a file without its folder, of 1 to {MAX_NAME_BYTES} "
            f"bytes; received {reprlib.repr(name)}."
        )
    return name


def require_local(path: str, *, what: str) -> str:
    """Returns a path to write to; ValueError for `gs://...`, which would name a folder `gs:` here.

    Args:
      path: as the user gave it.
      what: names the flag at the beginning of the message.
    """
    if "://" in path:
        raise ValueError(
            f"{what} must be a path of this machine, which may be a mounted bucket or a shared "
            f"disk; received {path}."
        )
    return path


def _encodable(name: str) -> str:
    """The name without halves of characters, which JSON can hold and no file system can."""
    return name.encode("utf-8", "replace").decode("utf-8")

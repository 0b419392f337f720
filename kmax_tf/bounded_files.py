"""Reads whole files, but none that is larger than what it should be can be."""

from __future__ import annotations

import os
from typing import Union


class FileTooLargeError(ValueError):
    """A file that has more bytes than are read; the message is a clause."""


def read_bounded(path: Union[str, os.PathLike], most_bytes: int) -> bytes:
    """The content of a file.

    Args:
      path: the file; devices that never end are read no further than the limit.
      most_bytes: the most it may have.

    Raises:
      OSError: no such file, or an unreadable one.
      FileTooLargeError: it has more.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most_bytes else file.read(most_bytes + 1)
    if max(size, len(content)) > most_bytes:
        raise FileTooLargeError(f"it has more than the {most_bytes} bytes that are read")
    return content

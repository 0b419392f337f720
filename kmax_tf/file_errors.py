"""Errors about files that TensorFlow raises, which are not those of Python."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Iterator, Union

import tensorflow as tf

FILE_ERRORS = (
    tf.errors.AlreadyExistsError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnknownError,
)
"""What TensorFlow makes of the error numbers of files; the others are those of processes that have
gone and of memory."""


def reason_of(error: tf.errors.OpError) -> str:
    """What the system said, from `path; reason [Op:...]`."""
    first = (error.message.splitlines() or [""])[0]
    return first.rpartition("; ")[2].partition(" [Op:")[0] or type(error).__name__


@contextlib.contextmanager
def raising_os_errors(path: Union[str, os.PathLike]) -> Iterator[None]:
    """Makes an OSError of TensorFlow's errors about files.

    Args:
      path: what is written inside.

    Raises:
      OSError: it cannot be written.
    """
    try:
        yield
    except FILE_ERRORS as error:
        reason = f"cannot be written: {reason_of(error)}"
        raise OSError(errno.EIO, reason, os.fspath(path)) from error

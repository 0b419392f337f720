"""A disk that is full, a folder that is gone: what a run says when it can no longer write."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, Union

import tensorflow as tf

from trainer.user_errors import StorageError

# What TensorFlow makes of the error numbers of files; the others are those of processes that have
# gone and of memory.
_OF_FILES = (
    tf.errors.AlreadyExistsError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def storing(path: Union[str, os.PathLike]) -> Iterator[None]:
    """Makes one sentence of an error about files.

    Args:
      path: what is written inside.

    Raises:
      StorageError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _describe(path, error.strerror or str(error)) from error
    except _OF_FILES as error:
        raise _describe(path, _reason(error)) from error


def require_folder(folder: Union[str, os.PathLike]) -> None:
    """Raises StorageError where a run folder has gone: TensorFlow would make a new, empty one."""
    if not os.path.isdir(folder):
        raise _describe(folder, "the folder is no longer there")


def _describe(path: Union[str, os.PathLike], reason: str) -> StorageError:
    return StorageError(
        f"{os.fspath(path)} cannot be written: {reason}. The run stopped; checkpoints that were "
        "complete before are untouched, and once this is mended the same command continues from "
        "the newest of them."
    )


def _reason(error: tf.errors.OpError) -> str:
    """What the system said, from `path; reason [Op:...]`."""
    first = (error.message.splitlines() or [""])[0]
    return first.rpartition("; ")[2].partition(" [Op:")[0] or type(error).__name__

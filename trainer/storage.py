"""A disk that is full, a folder that is gone: what a run says when it can no longer write."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, Union

from kmax_tf.file_errors import FILE_ERRORS, reason_of
from trainer.user_errors import StorageError


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
    except FILE_ERRORS as error:
        raise _describe(path, reason_of(error)) from error


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

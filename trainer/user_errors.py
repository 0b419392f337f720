"""The one place where a fault of the user becomes a sentence and an exit code.

A `ValueError` raised by this project's own code names an argument or field, the accepted values and
the received one: it is shown without a traceback. The same error raised inside TensorFlow or Keras
is a bug, and keeps its traceback.

Exit codes of every command:

  0    all was done
  1    a fault: numbers that are not finite, a full disk, an input or process that does not answer,
       or a bug; the same command may well stop in the same way, so a scheduler should not repeat it
       blindly
  2    an error of the user: flags, config, data or folders; nothing was begun
  130  ended by Ctrl-C (SIGINT, 128 + 2); a training was saved
  143  ended by SIGTERM (128 + 15), which schedulers send before they take a machine away; a
       training was saved, the same command continues it. Schedulers that tell codes apart
       (Kubeflow's `restartPolicy: ExitCode`) start again at 128 to 255, and not at 1 to 127
"""

from __future__ import annotations

import errno
import sys
import types
from typing import Callable, Optional

from trainer.log_messages import logging_to_stderr

USER_ERROR = 2
FAULT = 1
INTERRUPTED = 130
TERMINATED = 143

_OWN_PACKAGES = ("kmax_tf", "evaluation", "trainer", "protos")
_FILE_ERRORS = (
    FileExistsError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class StorageError(Exception):
    """A run folder cannot be written any more; the message says what remains and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived: the same end as at Ctrl-C, with another exit code."""


def run_reporting_errors(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code; errors a user can cause are one line on stderr.

    What the library logs meanwhile goes to stderr too.
    """
    try:
        with logging_to_stderr():
            return command()
    except ValueError as error:
        if not _is_own(error.__traceback__):
            raise
        return _report(str(error), USER_ERROR)
    except _FILE_ERRORS as error:
        told = f"{error.filename}: {error.strerror}." if error.filename else str(error)
        return _report(told, USER_ERROR)
    except StorageError as error:
        return _report(str(error), FAULT)
    except (ArithmeticError, ConnectionError) as error:
        if not _is_own(error.__traceback__):
            raise
        return _report(str(error), FAULT)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        return _report(f"{error.filename or 'writing'}: {error.strerror}.", FAULT)
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        return _report("terminated." if terminated else "interrupted.", exit_code_of(error))


def exit_code_of(error: KeyboardInterrupt) -> int:
    """The exit code of a command that was ended by a signal."""
    return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


def _report(message: str, code: int) -> int:
    print(f"kmax: {' '.join(message.split())}", file=sys.stderr)
    return code


def _is_own(traceback: Optional[types.TracebackType]) -> bool:
    """Whether the error was raised by a line of this project, not by a library it calls."""
    package = ""
    while traceback is not None:
        package = traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        traceback = traceback.tb_next
    return package in _OWN_PACKAGES or package == "__main__"

"""The library's log on stderr while a command runs."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Iterator

LIBRARY = "kmax_tf"


class _Formatter(logging.Formatter):
    """Facts as `kmax: ...`, anything worse with its level."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, like the sentences of errors."""
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"kmax: {level}{record.getMessage()}"


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Shows what the library logs, from facts upwards, once each; undone afterwards."""
    logger = logging.getLogger(LIBRARY)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # A handler of another library would repeat every line.
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]

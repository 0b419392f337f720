"""A disk that is full, for tests: no file may grow beyond a size."""

from __future__ import annotations

import contextlib
from typing import Iterator

import pytest


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Inside, writing beyond the first `size` bytes of a file fails ("File too large")."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

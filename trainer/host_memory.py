"""Memory of the host that nobody uses, and that would stay taken all the same."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h.
_VARIABLE = "MALLOC_ARENA_MAX"


def limit_arenas() -> bool:
    """Lets glibc keep one heap for each usable core, not eight; call it before threads start.

    TensorFlow's threads outnumber the cores, and each leaves freed memory behind in a heap of its
    own: a training step of kMaX R50 at 641 x 641 needs 0.2 to 0.3 GB less on two cores. Heaps are
    shared by as many threads as can run at a time.

    Returns:
      Whether the limit was set; false where the environment already sets MALLOC_ARENA_MAX, or the
      C library is another one.
    """
    if _VARIABLE in os.environ:
        return False
    # A library without mallopt, like musl, has the symbol and refuses, or lacks it.
    mallopt = _c_function("mallopt")
    return mallopt is not None and bool(mallopt(_ARENA_MAX, len(os.sched_getaffinity(0))))


def release_unused() -> None:
    """Gives back what building a model leaves behind, for the training step that comes after it.

    TensorFlow keeps a kernel for every operation that ever ran outside a graph, each variable's
    initialisation among them, and glibc keeps freed memory. At the peak of a training step of kMaX
    R50 at 641 x 641 that is 0.15 GB. A kernel that is needed again is made again.
    """
    # Here: `limit_arenas` is called before the import of TensorFlow.
    from tensorflow.python.eager import context

    context.context().clear_kernel_cache()
    malloc_trim = _c_function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _c_function(name: str) -> Any:
    """A function of the C library on Linux; None where there is none of this name."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)

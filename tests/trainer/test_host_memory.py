from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Threads that all hold memory at a time, and how many heaps glibc says they share.
_COUNT_HEAPS = """
import ctypes, os, sys, threading
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from trainer.host_memory import limit_arenas
print("set", limit_arenas())
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(7)
def allocate():
    library.malloc(5000)
    barrier.wait()
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads: thread.start()
barrier.wait()
sys.stdout.flush()
library.malloc_info(0, ctypes.c_void_p.in_dll(library, "stdout"))
library.fflush(None)
barrier.wait()
"""


def _count_heaps(**variables):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    ended = subprocess.run(
        [sys.executable, "-c", _COUNT_HEAPS],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout.splitlines()[0], ended.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_threads_share_one_heap_for_each_usable_core():
    assert _count_heaps() == ("set True", 1)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_the_environment_decides_where_it_says_something():
    said, heaps = _count_heaps(MALLOC_ARENA_MAX="3")
    assert said == "set False"
    assert heaps == 3

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


# Blocks that leave holes in the heap when every second one is freed, and kernels of eager
# operations, which are made for each shape of a variable.
_LEAVE_MEMORY_BEHIND = """
import ctypes, gc
import tensorflow as tf
from trainer.host_memory import release_unused
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
blocks = [library.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for block in blocks[:-1]:
    library.free(block)
numbers = tf.Variable([1.0, 2.0])
before = resident()
release_unused()
print(before - resident())
print(float(tf.reduce_sum(numbers * 2.0)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_freed_memory_is_given_back_and_tensorflow_goes_on():
    ended = subprocess.run(
        [sys.executable, "-c", _LEAVE_MEMORY_BEHIND],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    given_back, result = ended.stdout.split()
    assert int(given_back) > 80_000_000
    assert float(result) == 6.0

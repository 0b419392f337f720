"""Starts a fuzzer and ends it with its number of cases."""

from __future__ import annotations

import time
from typing import Callable, List

import atheris


def fuzz(arguments: List[str], test_one_input: Callable[[bytes], None]) -> None:
    """Runs the cases that libFuzzer's flags ask for; prints how many there were every 100,000.

    Args:
      arguments: of the command line; `-runs=N` and `-max_total_time=SECONDS` end it, `-seed=N`
        decides the cases.
      test_one_input: raises where it finds a defect.
    """
    start, cases = time.monotonic(), 0

    def counted(content: bytes) -> None:
        nonlocal cases
        test_one_input(content)
        cases += 1
        if cases % 100_000 == 0:
            print(f"{cases} cases in {time.monotonic() - start:.0f} s", flush=True)

    defaults = ["-timeout=20", "-rss_limit_mb=4096", "-max_len=400", "-len_control=0", "-seed=1"]
    atheris.Setup([arguments[0], *defaults, *arguments[1:]], counted)
    atheris.Fuzz()

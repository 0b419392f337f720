"""Ends a run that waits for something that does not come: an input, a step, another process."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from typing import Callable, Generator, Iterable, Iterator, NamedTuple, Sequence, TypeVar

import tensorflow as tf

from trainer.user_errors import FAULT

COMPILATION_SECONDS = 3600.0
"""What a first step may take beyond the limit: its graph is made ready, and compiled."""

INPUT = "the input"
STEP = "the step"

Element = TypeVar("Element")


class Pulse(NamedTuple):
    """How far a loop is.

    Attributes:
      beats: one more with every step that begins and with every input that has come.
      waits_for: `INPUT` or `STEP`.
    """

    beats: int
    waits_for: str


class Watchdog:
    """Looks at a loop from a thread of its own, and ends the process when nothing moves.

    Neither a call of TensorFlow that waits nor a thread of Python can be interrupted, so the
    process ends on the spot, with what all threads were at on standard error.

    Args:
      timeout: seconds without a beat.
      processes: of the run; with more than one, what a step waits for may be any of them.
      end: called with the exit code.
    """

    def __init__(
        self, timeout: float, *, processes: int = 1, end: Callable[[int], None] = os._exit
    ) -> None:
        self._timeout = timeout
        self._processes = processes
        self._end = end

    @contextlib.contextmanager
    def watching(
        self, read: Callable[[], Pulse], what: str, *, compiles: bool = False
    ) -> Iterator[None]:
        """Watches a loop while the context is open.

        Args:
          read: called ten times per limit or once a second, from another thread.
          what: runs in it, for the message.
          compiles: whether its first step is given `COMPILATION_SECONDS` more.
        """
        over = threading.Event()
        arguments = (read, what, over, compiles)
        thread = threading.Thread(target=self._watch, args=arguments, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(
        self, read: Callable[[], Pulse], what: str, over: threading.Event, compiles: bool
    ) -> None:
        first = last = read()
        changed = time.monotonic()
        while not over.wait(min(self._timeout / 10, 1.0)):
            pulse, now = read(), time.monotonic()
            if pulse != last:
                last, changed = pulse, now
                continue
            starts = compiles and pulse.waits_for == STEP and pulse.beats <= first.beats + 2
            if now - changed > self._timeout + (COMPILATION_SECONDS if starts else 0.0):
                self._report(pulse, what, now - changed)
                self._end(FAULT)
                return

    def _report(self, pulse: Pulse, what: str, seconds: float) -> None:
        peers = (
            f", which all {self._processes} processes make together: one of them may be gone"
            if self._processes > 1 and pulse.waits_for == STEP
            else ""
        )
        sys.stdout.flush()
        # Not `sys.stderr`, which may be any object: the stacks are written to a descriptor.
        faulthandler.dump_traceback(file=2, all_threads=True)
        message = (
            f"kmax: For {seconds:.0f} seconds {what} has waited for {pulse.waits_for}{peers} "
            f"(`trainer_options.stall_timeout` {self._timeout:g}); what every thread was at is "
            "above. The last checkpoint is sound; the same command continues there.\n"
        )
        os.write(2, message.encode())


class PulseInGraph:
    """The pulse of a loop that TensorFlow runs: a counter on the host, read from another thread."""

    def __init__(self) -> None:
        with tf.device("CPU:0"):
            self._beats = tf.Variable(0, trainable=False, dtype=tf.int64, name="pulse")

    def wait_for_input(self) -> None:
        """To be called in the graph where a step begins, when the one before has been made."""
        self._beats.assign_add(1)

    def wait_for_step(self, batch: Sequence[tf.Tensor]) -> None:
        """To be called in the graph when the tensors of `batch` are there."""
        with tf.control_dependencies(batch):
            self._beats.assign_add(1)

    def read(self) -> Pulse:
        """For `Watchdog.watching`."""
        beats = int(self._beats.numpy())
        return Pulse(beats, INPUT if beats % 2 else STEP)


class EvaluationPulse:
    """The pulse of a loop in Python over batches."""

    def __init__(self) -> None:
        self._pulse = Pulse(0, INPUT)

    def read(self) -> Pulse:
        """For `Watchdog.watching`."""
        return self._pulse

    def follow(self, batches: Iterable[Element]) -> Generator[Element, None, None]:
        """Gives the batches, and notes when each was asked for and when it came."""
        for batch in batches:
            self._pulse = Pulse(self._pulse.beats + 1, STEP)
            yield batch
            self._pulse = Pulse(self._pulse.beats + 1, INPUT)

"""Ctrl-C (and SIGTERM) at any moment, without losing what was computed.

While Python code runs, an interrupt is the usual `KeyboardInterrupt`. While a compiled loop of
training steps runs, Python code cannot react; then the interpreter's C handler writes the signal's
number into a pipe, a thread reads it and sets a variable that the loop looks at after every step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Dict, Iterator

import tensorflow as tf

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Turns signals into an orderly end; use as a context manager around a run.

    Attributes:
      stop: bool variable on the CPU, true once an interrupt has arrived.
    """

    def __init__(self) -> None:
        with tf.device("CPU:0"):
            self.stop = tf.Variable(False, trainable=False, name="interrupt_requested")
        self._postponed = False
        self._requested = False
        self._previous: Dict[int, object] = {}
        self._pipe = (-1, -1)
        self._previous_wakeup = -1

    def __enter__(self) -> Interrupts:
        # Signals can be caught in the main thread only; elsewhere a run is simply not interrupted.
        if threading.current_thread() is not threading.main_thread():
            return self
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._previous_wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        threading.Thread(target=self._watch, args=(self._pipe[0],), daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        if not self._previous:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._pipe[1])  # The watching thread sees the end of the pipe and closes the rest.
        self._previous = {}

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Inside, an interrupt only sets `stop`; on leaving it is raised as KeyboardInterrupt."""
        self._postponed = True
        try:
            yield
        finally:
            self._postponed = False
        if self._requested:
            self._requested = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        if self._postponed and not self._requested:
            self._requested = True
        else:
            raise KeyboardInterrupt

    def _watch(self, descriptor: int) -> None:
        while True:
            received = os.read(descriptor, 1)
            if not received:
                os.close(descriptor)
                return
            if received[0] in SIGNALS:
                self.stop.assign(True)

"""Ctrl-C (and SIGTERM) at any moment, without losing what was computed.

While Python code runs, an interrupt is the usual `KeyboardInterrupt`. While a compiled loop of
training steps runs, Python code cannot react; then the interpreter's C handler writes the signal's
number into a pipe, a thread reads it and sets a variable that the loop looks at after every step.
The same thread ends the process at a second signal, whatever it is doing: waiting for an input that
does not come, or saving (the checkpoints that were complete before remain so).

`tf.distribute.experimental.PreemptionCheckpointHandler` is not used. It saves at the step that all
processes agree on, but has to be called from Python before every step, while a loop here makes a
thousand of them in one graph; and it knows nothing of evaluations. SIGTERM is the notice all the
same: of Kubernetes, of Slurm and, as the machine shuts down, of Compute Engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Dict, Iterator, Optional

import tensorflow as tf

from trainer.user_errors import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SECOND_SIGNAL_SECONDS = 1.0
"""A signal this soon after the first is taken for the same: whoever starts a run in a group of
processes may send it to the group and then to each."""


class Interrupts:
    """Turns signals into an orderly end; use as a context manager around a run.

    Args:
      shared: whether other processes have to stop with this one: then nothing is raised here, and
        whoever uses this looks at `requested`.

    Attributes:
      stop: bool variable on the CPU, true once an interrupt has arrived.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        with tf.device("CPU:0"):
            self.stop = tf.Variable(False, trainable=False, name="interrupt_requested")
        self._postponed = False
        self._arrived = False
        self._requested: Optional[KeyboardInterrupt] = None
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

    @property
    def requested(self) -> Optional[KeyboardInterrupt]:
        """What has arrived and was not raised; None = nothing."""
        return self._requested

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Inside, an interrupt only sets `stop`; it is raised on leaving the outermost one.

        Raises:
          KeyboardInterrupt: SIGINT has arrived.
          Terminated: SIGTERM has arrived.
        """
        before, self._postponed = self._postponed, True
        try:
            yield
        finally:
            self._postponed = before
        self._raise_requested()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, an interrupt is raised at once even within `postponed`; one that waits, on entry.

        Raises:
          KeyboardInterrupt: SIGINT has arrived.
          Terminated: SIGTERM has arrived.
        """
        before, self._postponed = self._postponed, False
        try:
            self._raise_requested()
            yield
        finally:
            self._postponed = before

    def _raise_requested(self) -> None:
        if self._requested is not None and not self._postponed and not self._shared:
            requested, self._requested = self._requested, None
            raise requested

    def _handle(self, number: int, frame: object) -> None:
        if self._arrived:
            return  # The watching thread sees to it.
        self._arrived = True
        error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if not self._postponed and not self._shared:
            raise error
        self._requested = error

    def _watch(self, descriptor: int) -> None:
        first = None
        while True:
            received = os.read(descriptor, 1)
            if not received:
                os.close(descriptor)
                return
            if received[0] not in SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                self.stop.assign(True)
            elif time.monotonic() - first > SECOND_SIGNAL_SECONDS:
                os.write(2, b"kmax: ended at once by a second signal.\n")
                os._exit(128 + received[0])

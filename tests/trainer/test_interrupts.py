from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from trainer.interrupts import SECOND_SIGNAL_SECONDS, Interrupts
from trainer.user_errors import Terminated


def _send(number):
    os.kill(os.getpid(), number)


def test_outside_of_compiled_loops_it_is_the_usual_interrupt():
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        _send(signal.SIGINT)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_postponed_interrupt_sets_stop_and_is_raised_on_leaving(number, error):
    seen = []
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt) as raised, interrupts.postponed():
            _send(number)
            deadline = time.monotonic() + 5
            while not interrupts.stop.numpy() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(bool(interrupts.stop.numpy()))
        with interrupts.postponed():
            seen.append("again")
    assert seen == [True, "again"]
    assert type(raised.value) is error


def test_within_another_nothing_is_raised_until_the_outermost_is_left():
    seen = []
    with Interrupts() as interrupts:
        with pytest.raises(Terminated), interrupts.postponed():
            with interrupts.postponed():
                _send(signal.SIGTERM)
            seen.append("after the inner one")
        with interrupts.postponed():
            seen.append("again")
    assert seen == ["after the inner one", "again"]


def test_where_it_is_allowed_an_interrupt_is_raised_at_once():
    seen = []
    raised = pytest.raises(Terminated)
    with Interrupts() as interrupts, raised, interrupts.postponed(), interrupts.allowed():
        _send(signal.SIGTERM)
        seen.append("too late")
    with Interrupts() as interrupts, pytest.raises(Terminated), interrupts.postponed():
        with interrupts.allowed():
            seen.append("nothing has arrived")
        _send(signal.SIGTERM)
        seen.append("postponed again")
        with interrupts.allowed():
            seen.append("too late")
    with Interrupts(shared=True) as interrupts, interrupts.allowed():
        _send(signal.SIGTERM)
        seen.append("the others are told")
    assert seen == ["nothing has arrived", "postponed again", "the others are told"]


def test_the_same_signal_to_group_and_process_counts_once():
    saved = []
    with Interrupts() as interrupts:
        with pytest.raises(Terminated):
            _send(signal.SIGTERM)
        with interrupts.postponed():  # as while saving
            _send(signal.SIGTERM)
            saved.append(True)
    assert saved == [True]


_STUCK = """
import sys, time
import tensorflow as tf
from trainer.interrupts import Interrupts

@tf.function
def stuck():  # like an input that never comes: Python does not get a word in
    return tf.while_loop(lambda i: i >= 0, lambda i: (i + 1) % 1000, [tf.constant(0)])

with Interrupts() as interrupts, interrupts.postponed():
    print("ready", flush=True)
    stuck()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_process_that_is_stuck(number, repository_root):
    process = subprocess.Popen(
        [sys.executable, "-c", _STUCK],
        cwd=repository_root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        time.sleep(SECOND_SIGNAL_SECONDS + 0.5)
        assert process.poll() is None
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert errors.endswith("kmax: ended at once by a second signal.\n")


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_nothing_is_caught():
    failures = []

    def work():
        try:
            with Interrupts() as interrupts, interrupts.postponed():
                pass
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []

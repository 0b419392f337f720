from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from trainer.interrupts import Interrupts


def _send(number):
    os.kill(os.getpid(), number)


def test_outside_of_compiled_loops_it_is_the_usual_interrupt():
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        _send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_postponed_interrupt_sets_stop_and_is_raised_on_leaving(number):
    seen = []
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.postponed():
            _send(number)
            deadline = time.monotonic() + 5
            while not interrupts.stop.numpy() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(bool(interrupts.stop.numpy()))
        with interrupts.postponed():
            seen.append("again")
    assert seen == [True, "again"]


def test_a_second_interrupt_does_not_wait():
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.postponed():
        _send(signal.SIGINT)
        _send(signal.SIGINT)
        pytest.fail("the second interrupt was postponed")


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

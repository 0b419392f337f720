"""Order, batches and repetitions, with a server made of a function."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kmax_tf.serving_client.client import ServingClient
from kmax_tf.serving_client.transport import Fault, RequestError, Transport

BROKEN = b"broken"


class Server(Transport):
    """Answers with the length of each file; a broken one fails its request.

    Args:
      faults: raised by the first requests, in turn.
    """

    def __init__(self, faults=()):
        self.requests = []
        self.under_way = self.most = 0
        self._faults = list(faults)
        self._lock = threading.Lock()

    def send(self, files):
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.requests.append(list(files))
            fault = self._faults.pop(0) if self._faults else None
        try:
            if fault is not None:
                raise RequestError("told to", fault)
            if BROKEN in files:
                raise RequestError("a file is broken", Fault.CONTENT)
            return {"length": np.array([len(file) for file in files])}
        finally:
            with self._lock:
                self.under_way -= 1

    def close(self):
        pass


def ask(server, files, **options):
    waits = []
    client = ServingClient(server, wait=waits.append, **options)
    answers = [
        str(answer) if isinstance(answer, RequestError) else int(answer["length"])
        for answer in client.ask(files)
    ]
    return answers, waits


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_answers_come_in_order(batch_size):
    server = Server()
    answers, _ = ask(server, [b"x" * n for n in range(40)], batch_size=batch_size, concurrency=5)
    assert answers == list(range(40))
    assert sorted(len(files) for files in server.requests)[-1] == min(batch_size, 40)
    assert server.most <= 5


def test_a_broken_file_costs_only_itself():
    server = Server()
    files = [b"a", b"bb", BROKEN, b"dddd"]
    answers, waits = ask(server, files, batch_size=4, retries=1)
    assert answers == [1, 2, "a file is broken", 4]
    # The batch is not repeated as it was; the broken file is, as others may have been to blame.
    assert [len(each) for each in server.requests] == [4, 1, 1, 1, 1, 1]
    assert len(waits) == 1


def test_a_file_that_was_merged_with_a_broken_one_is_answered():
    answers, _ = ask(Server([Fault.CONTENT]), [b"a"], retries=1)
    assert answers == [1]


def test_a_busy_server_is_asked_again_later():
    answers, waits = ask(Server([Fault.BUSY] * 7), [b"a", b"bb"], batch_size=2, retries=7)
    assert answers == [1, 2]
    longest = [0.25, 0.5, 1, 2, 4, 8, 8]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest))
    assert len(waits) == 7
    answers, waits = ask(Server([Fault.BUSY] * 3), [b"a"], retries=2)
    assert answers == ["told to"]
    assert len(waits) == 2


def test_what_cannot_succeed_is_not_repeated():
    server = Server([Fault.FINAL])
    answers, waits = ask(server, [b"a", b"bb"], batch_size=2, retries=3)
    assert answers == ["told to"] * 2
    assert (len(server.requests), waits) == (1, [])


def test_files_are_read_only_a_few_requests_ahead():
    read = []

    def files():
        for index in range(100):
            read.append(index)
            yield b"x"

    answers = ServingClient(Server(), batch_size=2, concurrency=3).ask(files())
    next(answers)
    assert len(read) <= 2 * (3 + 1)
    answers.close()
    assert len(read) <= 2 * (3 + 1)


@pytest.mark.parametrize("name", ["batch_size", "concurrency", "retries"])
def test_numbers_are_checked(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        ServingClient(Server(), **{name: -1})

from __future__ import annotations

import socket
import threading

import pytest

from tests.worker_group import free_addresses
from trainer import rendezvous
from trainer.cluster import Cluster
from trainer.lost_worker import LostWorkerError
from trainer.rendezvous import wait_for_workers


def test_workers_meet_whoever_comes_first():
    addresses = tuple(free_addresses(3))
    threads = [
        threading.Thread(target=wait_for_workers, args=(Cluster(addresses, index), 60.0))
        for index in range(3)
    ]
    for thread in threads[1:]:
        thread.start()
    threads[1].join(0.5)
    assert threads[1].is_alive()  # The chief is missing.
    # Who has met the others goes on to serve at the same port.
    with _serve(addresses[0]):
        for thread in threads[1:]:
            thread.join(30)
            assert not thread.is_alive()


def _serve(address):
    host, port = address.split(":")
    return socket.create_server((host, int(port)))


def test_a_worker_that_does_not_come_is_named(monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "_ANNOUNCE_SECONDS", 0.0)
    addresses = tuple(free_addresses(2))
    with pytest.raises(LostWorkerError) as error:
        wait_for_workers(Cluster(addresses, 1), 0.5)
    assert f"stall_timeout`) for worker 0 ({addresses[0]}): nothing listens" in str(error.value)
    expected = f"worker 1 ({addresses[1]}) waits up to 0.5 seconds for worker 0 ({addresses[0]}).\n"
    assert capsys.readouterr().out == expected


def test_a_port_that_is_taken_is_named():
    addresses = tuple(free_addresses(2))
    with (
        _serve(addresses[1]),
        pytest.raises(ValueError, match=rf"worker 1 \({addresses[1]}\) cannot use its port"),
    ):
        wait_for_workers(Cluster(addresses, 1), 0.5)

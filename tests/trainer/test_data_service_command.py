from __future__ import annotations

import socket

import pytest
import tensorflow as tf

from kmax_tf.data import data_service
from trainer import cli, data_service_command


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def test_a_dispatcher_and_a_worker_make_a_dataset(monkeypatch, capfd):
    dispatcher, worker = free_port(), free_port()
    address = f"grpc://localhost:{dispatcher}"
    made = []

    def read():
        dataset = data_service.distribute(tf.data.Dataset.range(6).map(lambda n: n * n), address)
        made.extend(dataset.as_numpy_iterator())

    def start_worker():
        monkeypatch.setattr(data_service_command, "wait", read)
        assert cli.main(["data-service", f"--port={worker}", f"--dispatcher={address}"]) == 0

    monkeypatch.setattr(data_service_command, "wait", start_worker)
    assert cli.main(["data-service", f"--port={dispatcher}"]) == 0
    assert sorted(made) == [0, 1, 4, 9, 16, 25]
    output = capfd.readouterr().out
    assert f"Dispatcher at grpc://{socket.gethostname()}:{dispatcher}." in output
    assert f":{worker} for {address}." in output


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--port=0"], "`--port` must be in 1..65535; received 0."),
        (["--port=70000"], "`--port` must be in 1..65535; received 70000."),
        (["--port={free}", "--dispatcher=localhost:1"], "`--dispatcher` must be `grpc://host:por"),
        (["--port={free}", "--dispatcher=grpc://localhost:{free}"], "cannot be reached"),
        (["--port={taken}"], "cannot be listened at: Address already in use."),
    ],
)
def test_mistakes_are_one_sentence(capfd, flags, sentence):
    with socket.create_server(("", 0)) as listener:
        ports = {"free": free_port(), "taken": listener.getsockname()[1]}
        assert cli.main(["data-service", *[flag.format(**ports) for flag in flags]]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("kmax: ")]
    assert sentence in line


def test_waiting_ends_with_an_interrupt(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(data_service_command, "wait", interrupt)
    assert cli.main(["data-service", f"--port={free_port()}"]) == 130

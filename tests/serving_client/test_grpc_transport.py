"""Requests over gRPC to a PredictionService made of tensorflow-serving-api's stubs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.serving_client.grpc_transport import GrpcTransport
from kmax_tf.serving_client.security import Tls
from kmax_tf.serving_client.transport import NEEDED, Fault, RequestError
from tests.export.toy import toy_image
from tests.serving.servers import Access, grpc_server

FILES = [tf.io.encode_png(toy_image(*size)).numpy() for size in ((20, 31), (50, 30))]


def connect(address, **options):
    options = {"model_name": "toy", "version": None, "timeout": 30.0, **options}
    return GrpcTransport(address, **options)


def test_what_is_needed_comes_back(grpc_address, runner):
    received = connect(grpc_address).send(FILES)
    expected = runner(FILES)
    assert sorted(received) == sorted(NEEDED)  # Nothing else travels.
    for name in NEEDED:
        np.testing.assert_array_equal(received[name], expected[name])
        assert received[name].dtype == expected[name].dtype


@pytest.mark.parametrize(
    ("files", "options", "fault", "message"),
    [
        ([FILES[0][:50]], {}, Fault.CONTENT, "INVALID_ARGUMENT.*is cut off"),
        ([b""], {}, Fault.CONTENT, "must be a JPEG or PNG"),
        (FILES, {"model_name": "other"}, Fault.FINAL, "NOT_FOUND.*other"),
        (FILES, {"timeout": 1e-6}, Fault.BUSY, "DEADLINE_EXCEEDED"),
        (FILES, {"version": 7}, Fault.FINAL, "NOT_FOUND.*7"),
        (FILES, {"label": "canary"}, Fault.CONTENT, "label: canary"),
    ],
)
def test_faults_are_told_apart(grpc_address, files, options, fault, message):
    transport = connect(grpc_address, **options)
    with pytest.raises(RequestError, match=message) as caught:
        transport.send(files)
    assert caught.value.fault is fault
    transport.close()


def test_nobody_there_may_be_there_later():
    with pytest.raises(RequestError, match="UNAVAILABLE") as caught:
        connect("127.0.0.1:1").send(FILES)
    assert caught.value.fault is Fault.BUSY


@pytest.mark.parametrize("which", [{"version": 1}, {"label": "stable"}])
def test_a_version_is_chosen(grpc_address, which):
    assert len(connect(grpc_address, **which).send(FILES)["panoptic"]) == 2


def answer_of(side):
    """What a server returns for an image at this size."""
    rows = {name: np.zeros([1, 2], np.int32) for name in NEEDED}
    maps = {name: np.full([1, side, side], 300, np.int32) for name in ("panoptic", "semantic")}
    return {**rows, "segment_score": np.zeros([1, 2], np.float32), **maps}


def test_answers_above_the_limit_of_grpc_arrive():
    """Two maps of 1281 x 1281, whose numbers take two bytes each."""
    sent = {**answer_of(1281), "image_size": np.array([[20, 31]], np.int32)}
    sent["panoptic"][0, 5] = np.arange(1281)
    with grpc_server("toy", lambda files: sent) as address:
        transport = connect(address)
        received = transport.send(FILES[:1])
        transport.close()
    for name, value in sent.items():
        np.testing.assert_array_equal(received[name], value)


def test_a_request_that_is_too_large_for_the_server_is_divided(monkeypatch, runner):
    """A server, or what is before it, may have a limit that a smaller request keeps."""
    monkeypatch.setattr(
        "tests.serving.servers.UNLIMITED", [("grpc.max_receive_message_length", 50)]
    )
    with grpc_server("toy", runner) as address:
        transport = connect(address)
        with pytest.raises(RequestError, match="larger than max") as caught:
            transport.send(FILES)
        transport.close()
    assert caught.value.fault is Fault.CONTENT


def test_proxies_of_the_web_are_not_asked(monkeypatch, grpc_address):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(connect(grpc_address).send(FILES)["panoptic"]) == 2


def test_headers_go_along(runner):
    with grpc_server("toy", runner, Access(headers={"authorization": "Bearer x"})) as address:
        with pytest.raises(RequestError, match="UNAUTHENTICATED: who are you") as caught:
            connect(address).send(FILES)
        assert caught.value.fault is Fault.FINAL
        transport = connect(address, headers=[("Authorization", "Bearer x")])
        assert len(transport.send(FILES)["panoptic"]) == 2


def test_encrypted(runner, certificates):
    server, client, stranger = (certificates[name] for name in ("server", "client", "stranger"))
    with grpc_server("toy", runner, Access(server, client.certificate)) as address:
        transport = connect(address, tls=Tls(server.certificate, *client))
        assert len(transport.send(FILES)["panoptic"]) == 2
        transport.close()
        for tls in (None, Tls(), Tls(stranger.certificate, *client), Tls(server.certificate)):
            transport = connect(address, tls=tls, timeout=5.0)
            with pytest.raises(RequestError, match="UNAVAILABLE"):
                transport.send(FILES)
            transport.close()

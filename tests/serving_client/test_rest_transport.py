"""Requests over REST to a server that answers in TF Serving's format."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.serving_client import rest_transport
from kmax_tf.serving_client.rest_transport import RestTransport
from kmax_tf.serving_client.security import Tls
from kmax_tf.serving_client.transport import NEEDED, Fault, RequestError
from tests.export.toy import toy_image
from tests.serving.servers import Access, rest_server

FILES = [tf.io.encode_png(toy_image(*size)).numpy() for size in ((20, 31), (50, 30))]


def connect(address, **options):
    options = {"model_name": "toy", "version": None, "timeout": 30.0, **options}
    return RestTransport(address, **options)


@pytest.mark.parametrize("which", [{}, {"version": 1}, {"label": "stable"}])
def test_what_is_needed_comes_back(rest_address, runner, which):
    received = connect(rest_address, **which).send(FILES)
    expected = runner(FILES)
    assert sorted(received) == sorted(NEEDED)
    for name in NEEDED:
        np.testing.assert_array_equal(received[name], expected[name])
    assert received["segment_score"].dtype == np.float32


@pytest.mark.parametrize(
    ("files", "options", "fault", "message"),
    [
        ([FILES[0][:50]], {}, Fault.CONTENT, "HTTP 400.*is cut off"),
        ([b""], {}, Fault.CONTENT, "must be a JPEG or PNG"),
        (FILES, {"model_name": "other"}, Fault.FINAL, "HTTP 404.*other"),
        (FILES, {"version": 7}, Fault.FINAL, "HTTP 404"),
        (FILES, {"label": "canary"}, Fault.FINAL, "HTTP 404"),
    ],
)
def test_faults_are_told_apart(rest_address, files, options, fault, message):
    with pytest.raises(RequestError, match=message) as caught:
        connect(rest_address, **options).send(files)
    assert caught.value.fault is fault


def test_nobody_there_may_be_there_later():
    with pytest.raises(RequestError, match="Connection refused") as caught:
        connect("127.0.0.1:1").send(FILES)
    assert caught.value.fault is Fault.BUSY


def test_a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RequestError, match="timed out") as caught:
            connect(address, timeout=0.2).send(FILES)
    assert caught.value.fault is Fault.BUSY


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_numbers_that_json_does_not_know_travel(score):
    """TF Serving writes NaN, Infinity and -Infinity; logits that were not finite give NaN."""

    def run(files):
        rows = np.full([len(files), 3], score, np.float32)
        return {
            **{name: np.zeros([len(files), 2], np.int32) for name in NEEDED},
            "segment_score": rows,
        }

    with rest_server("toy", run) as address:
        received = connect(address).send(FILES)["segment_score"]
    np.testing.assert_array_equal(received, np.full([2, 3], score))


def test_another_answer_is_named():
    server = rest_server("toy", lambda files: {"boxes": np.zeros([len(files), 2])})
    missing = pytest.raises(RequestError, match="must hold `panoptic`")
    with server as address, missing as caught:
        connect(address).send(FILES)
    assert caught.value.fault is Fault.FINAL


@pytest.mark.parametrize(
    ("content", "limit", "message"),
    [
        (b"[" * 100_000, 100_000, "the answer cannot be read: it is nested too deeply"),
        (b"<html>", 5000, "the answer cannot be read: it is not valid JSON"),
        (b" " * 5001, 5000, "the answer has more than the 5000 bytes that are read"),
    ],
)
def test_answers_of_any_bytes_are_named(monkeypatch, content, limit, message):
    monkeypatch.setattr(rest_transport, "MAX_ANSWER_BYTES", limit)
    with answering(content) as address, pytest.raises(RequestError, match=message) as caught:
        connect(address).send(FILES)
    assert caught.value.fault is Fault.FINAL


@pytest.mark.parametrize("value", ['"seven"', "null", "[[1], [2, 3]]", "1e400", str(2**70)])
def test_answers_of_other_values_are_named(value):
    row = ", ".join(f'"{name}": [{value}]' for name in NEEDED)
    content = f'{{"predictions": [{{{row}}}]}}'.encode()
    with answering(content) as address, pytest.raises(RequestError, match="numbers") as caught:
        connect(address).send(FILES[:1])
    assert caught.value.fault is Fault.FINAL


def test_behind_a_proxy(runner):
    """A path before the API, and a token."""
    access = Access(headers={"Authorization": "Bearer x"}, path="/serving/a")
    with rest_server("toy", runner, access) as address:
        with pytest.raises(RequestError, match="HTTP 401: who are you") as caught:
            connect(address, path="/serving/a").send(FILES)
        assert caught.value.fault is Fault.FINAL
        headers = [("Authorization", "Bearer x")]
        with pytest.raises(RequestError, match="HTTP 404"):
            connect(address, headers=headers).send(FILES)
        received = connect(address, headers=headers, path="/serving/a/").send(FILES)
        assert len(received["panoptic"]) == 2


@pytest.mark.parametrize(
    ("status", "fault", "message"),
    [
        (302, Fault.FINAL, "HTTP 302: Found, to http://127.0.0.1:1/elsewhere"),
        (413, Fault.CONTENT, "HTTP 413: "),
        (503, Fault.BUSY, "HTTP 503: Service Unavailable"),
        (504, Fault.BUSY, "HTTP 504: Gateway Timeout"),
        (403, Fault.FINAL, "HTTP 403: Forbidden"),
    ],
)
def test_what_a_proxy_answers_is_told(status, fault, message):
    """It knows nothing of `{"error": ...}`; a redirect is not followed with the token."""
    with answering(b"<html>no</html>", status) as address:
        transport = connect(address, headers=[("Authorization", "Bearer x")])
        with pytest.raises(RequestError, match=message) as caught:
            transport.send(FILES)
    assert caught.value.fault is fault


def test_encrypted(runner, certificates):
    server, client, stranger = (certificates[name] for name in ("server", "client", "stranger"))
    with rest_server("toy", runner, Access(server)) as address:
        received = connect(address, tls=Tls(server.certificate)).send(FILES)
        assert len(received["panoptic"]) == 2
        for tls in (Tls(), Tls(stranger.certificate)):
            with pytest.raises(RequestError, match="certificate verify failed"):
                connect(address, tls=tls).send(FILES)
    with rest_server("toy", runner, Access(server, client.certificate)) as address:
        received = connect(address, tls=Tls(server.certificate, *client)).send(FILES)
        assert len(received["panoptic"]) == 2
        with pytest.raises(RequestError):
            connect(address, tls=Tls(server.certificate)).send(FILES)


@contextlib.contextmanager
def answering(content, status=200):
    """A server that gives one answer, whatever it is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

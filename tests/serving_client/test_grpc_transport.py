"""Requests over gRPC to a PredictionService made of tensorflow-serving-api's stubs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.serving_client.grpc_transport import GrpcTransport
from kmax_tf.serving_client.transport import NEEDED, Fault, RequestError
from tests.export.toy import toy_image

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
        ([FILES[0][:50]], {}, Fault.CONTENT, "INVALID_ARGUMENT.*PNG"),
        ([b""], {}, Fault.CONTENT, "must be a JPEG or PNG"),
        (FILES, {"model_name": "other"}, Fault.FINAL, "NOT_FOUND.*other"),
        (FILES, {"timeout": 1e-6}, Fault.BUSY, "DEADLINE_EXCEEDED"),
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

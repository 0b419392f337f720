from __future__ import annotations

import pytest

from kmax_tf.data.service_address import split_address


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("grpc://localhost:5050", "localhost", 5050),
        ("grpc://input-1.example.com:1", "input-1.example.com", 1),
        ("grpc://10.0.0.7:65535", "10.0.0.7", 65535),
        ("grpc://[::1]:80", "[::1]", 80),
    ],
)
def test_host_and_port(address, host, port):
    assert split_address(address, "field") == (host, port)


@pytest.mark.parametrize(
    "address",
    [
        "", "localhost:5050", "grpc://localhost", "grpc://:5050", "grpc://localhost:0",
        "grpc://localhost:65536", "http://localhost:80", "grpc://a:1/b", "grpc://a b:1",
        "grpc://a:1\n", "grpc://::1:80", "grpc://a:x",
    ],
)  # fmt: skip
def test_refuses(address):
    with pytest.raises(ValueError, match=r"`some.field` must be `grpc://host:port`.*received '"):
        split_address(address, "some.field")

"""A toy model, exported once and served over both protocols."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from typing import NamedTuple

import pytest

from tests.serving.servers import Runner, grpc_server, rest_server
from tests.serving.toy_export import export_toy


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    return export_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def runner(saved_model):
    return Runner(saved_model)


@pytest.fixture(scope="session")
def grpc_address(runner):
    with grpc_server("toy", runner) as address:
        yield address


@pytest.fixture(scope="session")
def rest_address(runner):
    with rest_server("toy", runner) as address:
        yield address


class Certificate(NamedTuple):
    """PEM files of a certificate for 127.0.0.1 that vouches for itself."""

    certificate: str
    key: str


def make_certificate(folder: pathlib.Path, name: str, *, password: str = "") -> Certificate:
    """Writes a fresh one, valid for a day."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    files = Certificate(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "1"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", files.key, "-out", files.certificate),
            *(("-passout", f"pass:{password}") if password else ("-nodes",)),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Of the server, of the client, and of nobody."""
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder, name) for name in ("server", "client", "stranger")}

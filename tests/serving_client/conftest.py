"""A toy model, exported once and served over both protocols."""

from __future__ import annotations

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

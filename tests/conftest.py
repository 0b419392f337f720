"""Settings of the whole suite: quiet TensorFlow, few threads, the repository root as folder."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Iterator

import pytest

import kmax_tf  # noqa: F401  chooses Keras before any test imports TensorFlow

# Read when XLA is first used: a step of the tiny model compiles in seconds instead of minutes.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory) -> Iterator[None]:
    """What is kept between runs belongs to the user; the suite has a folder of its own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random weights and inputs in every run, whatever ran before."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        tensorflow.keras.utils.set_random_seed(0)


@pytest.fixture
def golden() -> pathlib.Path:
    """Folder of the small reference arrays."""
    return ROOT / "tests" / "golden"


@pytest.fixture
def repository_root() -> pathlib.Path:
    """Folder that holds `configs/`, `kmax_tf/`, ..."""
    return ROOT

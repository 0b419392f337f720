"""Settings of the whole suite: quiet TensorFlow, few threads, the repository root as folder."""

from __future__ import annotations

import pathlib

import pytest

import kmax_tf  # noqa: F401  chooses Keras before any test imports TensorFlow

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def golden() -> pathlib.Path:
    """Folder of the small reference arrays."""
    return ROOT / "tests" / "golden"


@pytest.fixture
def repository_root() -> pathlib.Path:
    """Folder that holds `configs/`, `kmax_tf/`, ..."""
    return ROOT

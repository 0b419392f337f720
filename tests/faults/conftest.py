"""The toy runs of `tests/trainer` are those that are disturbed here."""

from __future__ import annotations

from tests.trainer.conftest import data_folder, determinism, run  # noqa: F401

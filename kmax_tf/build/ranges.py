"""Checks of single config values; every error names the field and what was received."""

from __future__ import annotations

from typing import Sequence


def require_length(values: Sequence, accepted: Sequence[int], path: str) -> None:
    """Raises ValueError unless the repeated field at `path` has one of the accepted lengths."""
    if len(values) not in accepted:
        numbers = " or ".join(map(str, accepted))
        raise ValueError(f"`{path}` needs {numbers} values; received {len(values)}.")


def require_positive(values: Sequence[float], path: str) -> None:
    """Raises ValueError unless all values of the field at `path` are above 0."""
    for value in values:
        if value <= 0:
            raise ValueError(f"`{path}` must be positive; received {value:g}.")


def require_probability(value: float, path: str) -> None:
    """Raises ValueError unless the field at `path` lies in (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"`{path}` must lie in (0, 1]; received {value:g}.")

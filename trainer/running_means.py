"""Means over a summary interval that survive the end of the process: part of every checkpoint."""

from __future__ import annotations

import json
from typing import Dict

import tensorflow as tf

from kmax_tf.json_files import parse_json


class RunningMeans(tf.train.experimental.PythonState):
    """Weighted means of named values, gathered over several inner loops.

    A checkpoint may fall between two summaries. Without what was gathered until then, a run that
    continues from it would write another mean than one that was never interrupted.
    """

    def __init__(self) -> None:
        self._sums: Dict[str, float] = {}
        self._counts: Dict[str, int] = {}

    def add(self, name: str, value: float, count: int) -> None:
        """Takes the mean `value` of `count` steps."""
        self._sums[name] = self._sums.get(name, 0.0) + count * value
        self._counts[name] = self._counts.get(name, 0) + count

    def take(self) -> Dict[str, float]:
        """The means by name; the next interval begins empty."""
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def serialize(self) -> str:
        """What a checkpoint keeps; JSON writes every float64 such that it reads the same."""
        return json.dumps({"sums": self._sums, "counts": self._counts})

    def deserialize(self, string_value: bytes) -> None:
        """Takes what `serialize` gave, in place of what was gathered."""
        state = parse_json(string_value)
        self._sums, self._counts = state["sums"], state["counts"]

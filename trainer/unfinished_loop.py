"""What an inner loop has summed up when an interrupt cuts it off: part of every checkpoint."""

from __future__ import annotations

import json
from typing import Dict, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.json_files import parse_json


class UnfinishedLoop(tf.train.experimental.PythonState):
    """Sums over the steps of a loop that has not ended, by name; empty after one that has.

    The sum of two halves is rounded in another way than the sum of the whole. So a run that is
    started again goes on with the sum as it was, and ends bit by bit as one that was never stopped.
    """

    def __init__(self) -> None:
        self._first = 0
        self._sums: Dict[str, float] = {}

    def keep(self, first: int, names: Sequence[str], sums: np.ndarray) -> None:
        """Takes the sums, float32 [V], of the steps since `first`."""
        self._first = first
        self._sums = dict(zip(names, sums.tolist()))

    def clear(self) -> None:
        """To be called when the loop has ended."""
        self._first, self._sums = 0, {}

    def begin(self, step: int, names: Sequence[str]) -> Tuple[int, np.ndarray]:
        """First step and sums, float32 [V], of a loop that goes on, or begins, at `step`.

        Where the config has changed such that there are other values, it begins; then, as where
        nothing was kept, the sums are empty.
        """
        if list(self._sums) != list(names):
            return step, np.zeros([0], np.float32)
        return self._first, np.array(list(self._sums.values()), np.float32)

    def serialize(self) -> str:
        """What a checkpoint keeps; JSON writes every number such that it reads the same."""
        return json.dumps({"first": self._first, "sums": self._sums})

    def deserialize(self, string_value: bytes) -> None:
        """Takes what `serialize` gave."""
        state = parse_json(string_value)
        self._first, self._sums = state["first"], state["sums"]

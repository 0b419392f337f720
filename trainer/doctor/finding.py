"""One line of what `kmax doctor` finds."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """A fact, and what is wrong with it.

    Attributes:
      name: of the fact.
      value: what was found.
      problem: one sentence; empty where all is well.
      remedy: the one command that mends it; never without a problem.
      stops_training: whether no training can work before.
    """

    name: str
    value: str
    problem: str = ""
    remedy: str = ""
    stops_training: bool = False

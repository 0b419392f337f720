"""A training process that is watched, and killed at a moment of a given kind."""

from __future__ import annotations

import enum
import os
import pathlib
import random
import re
import subprocess
import time
from typing import List, NamedTuple, Optional, Sequence, Set

_POLL_SECONDS = 0.01
_QUICK_POLL_SECONDS = 0.0005  # A small checkpoint is written in a millisecond.
_TRAIN_LINE = re.compile(r"^train (\d+)/", re.MULTILINE)
_EVALUATION_LINE = re.compile(r"^eval  ", re.MULTILINE)
_CONTINUED = re.compile(r"^Continuing from .*ckpt-(\d+)", re.MULTILINE)
_PATIENCE = 3  # evaluations without a new best


class Moment(enum.Enum):
    """When a process is killed."""

    START = "starting"
    TRAINING = "training"
    CHECKPOINT = "writing a checkpoint"
    EVALUATION = "evaluating"
    BEST = "writing the best weights"


class Pace(NamedTuple):
    """Seconds that parts of a life take, from a life that was not disturbed."""

    start: float
    loop: float
    evaluation: float


class Life:
    """One process of a run, with what it has printed.

    Args:
      command: with all its flags.
      model_dir: of the run.
      log: file for what it prints.
      eval_interval: steps between evaluations.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        model_dir: pathlib.Path,
        log: pathlib.Path,
        eval_interval: int,
    ) -> None:
        self._model_dir = model_dir
        self._log = log
        self._eval_interval = eval_interval
        self._old = self._unfinished("") | self._unfinished("best")
        with log.open("wb") as output:
            self._process = subprocess.Popen(list(command), stdout=output, stderr=output)

    def text(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def first_step(self) -> Optional[int]:
        """Of the checkpoint that it continued from; None before that, or without one."""
        match = _CONTINUED.search(self.text())
        return int(match[1]) if match else None

    def finish(self) -> bool:
        """Whether the process has ended by itself; RuntimeError if it failed."""
        code = self._process.poll()
        if code is None:
            return False
        if code != 0:
            raise RuntimeError(f"The run ended with code {code}:\n{self.text()[-3000:]}")
        return True

    def measure(self) -> Pace:
        """Lets it run to its end and measures its parts."""
        begin = time.monotonic()
        times: List[float] = []
        evaluation = evaluated = 0.0
        while not self.finish():
            text = self.text()
            now = time.monotonic() - begin
            steps = _TRAIN_LINE.findall(text)
            if len(steps) > len(times):
                times.append(now)
            if len(_EVALUATION_LINE.findall(text)) > evaluated:
                evaluated += 1
                evaluation = now - times[-1]
            time.sleep(_POLL_SECONDS)
        loops = sorted(b - a for a, b in zip(times, times[1:]))
        return Pace(times[0], loops[len(loops) // 2], evaluation)

    def kill(self, moment: Moment, pace: Pace, draw: random.Random) -> bool:
        """Kills it at a random moment of a kind; false if it ended before."""
        patience = draw.randint(1, 2)
        delay = {
            Moment.START: pace.start,
            Moment.TRAINING: 2 * pace.loop,
            Moment.EVALUATION: pace.evaluation,
        }.get(moment, 0.004)
        quick = moment in (Moment.CHECKPOINT, Moment.BEST)
        if moment is not Moment.START:
            while not self._has_come(moment, patience):
                if self.finish():
                    return False
                time.sleep(_QUICK_POLL_SECONDS if quick else _POLL_SECONDS)
        time.sleep(draw.uniform(0, delay))
        self._process.kill()
        return self._process.wait() < 0

    def what_was_cut_off(self) -> str:
        """Names of the checkpoints that were being written."""
        names = self._unfinished("") | self._unfinished("best")
        return ", ".join(sorted({name.partition(":")[0] for name in names - self._old}))

    def _has_come(self, moment: Moment, patience: int) -> bool:
        if moment is Moment.CHECKPOINT:
            return bool(self._unfinished("") - self._old)
        if moment is Moment.BEST and self._unfinished("best") - self._old:
            return True
        text = self.text()
        if moment is Moment.BEST:
            return len(_EVALUATION_LINE.findall(text)) >= _PATIENCE
        steps = [int(step) for step in _TRAIN_LINE.findall(text)]
        if moment is Moment.TRAINING:
            return len(steps) >= patience
        started: Optional[re.Match] = _CONTINUED.search(text)
        steps += [int(started[1])] if started else []
        return any(step % self._eval_interval == 0 for step in steps)

    def _unfinished(self, part: str) -> Set[str]:
        """Folders of checkpoints that are being written, as `name:identity`."""
        try:
            with os.scandir(self._model_dir / part) as entries:
                return {
                    f"{os.path.join(part, entry.name)}:{entry.inode()}"
                    for entry in entries
                    if entry.name.endswith("_temp")
                }
        except FileNotFoundError:
            return set()

"""Progress of a run: a bar with images/s and time left on a terminal, else a line per interval."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Callable, Iterator, Mapping, Optional, TextIO

import tqdm


class Progress:
    """Shows how far training and evaluation are.

    Args:
      total_steps: of the whole training.
      batch_size: images per step.
      line_interval: steps between lines where there is no terminal.
      stream: gets the output, standard output by default; a terminal gets a bar.
      silent: nothing is shown.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        batch_size: int,
        line_interval: int,
        stream: Optional[TextIO] = None,
        silent: bool = False,
    ) -> None:
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._line_interval = line_interval
        self._stream = stream or sys.stdout
        self._silent = silent
        self._is_terminal = self._stream.isatty() and not silent
        self._bar: Optional[tqdm.tqdm] = None

    def write(self, text: str) -> None:
        """Writes a message without damaging the bar."""
        if self._bar is not None:
            self._bar.clear()
        if not self._silent:
            print(text, file=self._stream, flush=True)

    def training(self, step: int, *, loss: float, images_per_second: float) -> None:
        """Reports a finished inner loop.

        Args:
          step: steps made so far, over all runs of this folder.
          loss: mean total loss of the loop.
          images_per_second: of the loop.
        """
        if self._is_terminal:
            if self._bar is None:
                self._bar = tqdm.tqdm(
                    total=self._total_steps,
                    file=self._stream,
                    bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}",
                    desc="train",
                    leave=False,
                )
            self._bar.set_postfix_str(self._state(step, loss, images_per_second), refresh=False)
            self._bar.n = step
            self._bar.refresh()
        elif step % self._line_interval == 0 or step >= self._total_steps:
            state = self._state(step, loss, images_per_second)
            self.write(f"train {step}/{self._total_steps}  {state}")

    def _state(self, step: int, loss: float, images_per_second: float) -> str:
        left = (self._total_steps - step) * self._batch_size / images_per_second
        return f"loss {loss:.4g}  {images_per_second:.3g} images/s  {_duration(left)} left"

    @contextlib.contextmanager
    def evaluation(self, num_images: int) -> Iterator[Callable[[int], None]]:
        """Shows the evaluation of `num_images` (0 = unknown); gives `advance(images)`."""
        self.close()
        start = time.monotonic()
        done = 0
        with tqdm.tqdm(
            total=num_images or None,
            file=self._stream,
            desc="eval",
            unit="image",
            leave=False,
            disable=not self._is_terminal,
        ) as bar:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bar.update(count)

            yield advance
        seconds = time.monotonic() - start
        self.write(f"eval  {done} images in {_duration(seconds)}, {done / seconds:.3g} images/s")

    def close(self) -> None:
        """Removes the bar; the next report draws it again."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The headline of an evaluation, `PQ 50.3  SQ ...`."""
    names = ("pq", "sq", "rq", "pq_things", "pq_stuff", "miou")
    return "  ".join(f"{n} {metrics[n]:.2f}" for n in names if metrics.get(n) is not None)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"

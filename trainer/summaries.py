"""Where the numbers of a run go: TensorBoard, `metrics.jsonl` and the progress display."""

from __future__ import annotations

import pathlib
from typing import Mapping

import numpy as np
import orbit
import tensorflow as tf

from trainer.metrics_file import MetricsFile
from trainer.progress import Progress
from trainer.running_means import RunningMeans
from trainer.storage import storing
from trainer.train_loop import IMAGES_PER_SECOND, LOOP_STEPS

# Computed by orbit's controller from the wall clock; `images_per_second` says the same.
_LEFT_OUT = ("steps_per_second", LOOP_STEPS)
_TIMED = (IMAGES_PER_SECOND,)


class TrainSummaries(orbit.utils.SummaryManagerInterface):
    """Averages the values of the inner loops over each summary interval.

    Args:
      folder: gets TensorBoard's event files.
      metrics_file: gets a line per summary.
      progress: told after every loop.
      global_step: the number of steps made.
      interval: steps between summaries.
      last_step: the last step of the run, which is summarised too.

    Attributes:
      means: of the interval that is not finished; belongs into every checkpoint.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        metrics_file: MetricsFile,
        progress: Progress,
        global_step: tf.Variable,
        interval: int,
        last_step: int,
    ) -> None:
        self._folder = folder
        with storing(folder):
            self._writer = tf.summary.create_file_writer(str(folder))
        self._metrics_file = metrics_file
        self._progress = progress
        self._global_step = global_step
        self._interval = interval
        self._last_step = last_step
        self.means = RunningMeans()
        self._timed_means = RunningMeans()  # not saved: checkpoints depend on steps alone

    def summary_writer(self, relative_path: str = "") -> tf.summary.SummaryWriter:
        """The writer of this manager's folder; `relative_path` is not used."""
        return self._writer

    def flush(self) -> None:
        """Makes sure that what was written is on disk."""
        with storing(self._folder):
            self._writer.flush()

    def write_summaries(self, summary_dict: Mapping[str, float]) -> None:
        """Takes the values of one inner loop; called by orbit's controller.

        What a loop leaves out is averaged over the other loops.
        """
        step = int(self._global_step.numpy())
        count = int(summary_dict[LOOP_STEPS])
        for name, value in summary_dict.items():
            if name not in _LEFT_OUT:
                means = self._timed_means if name in _TIMED else self.means
                means.add(name, float(value), count)
        self._progress.training(
            step,
            loss=float(summary_dict["loss/total"]),
            images_per_second=float(summary_dict[IMAGES_PER_SECOND]),
        )
        if step % self._interval == 0 or step >= self._last_step:
            self._write(step, float(summary_dict["learning_rate"]))

    def _write(self, step: int, learning_rate: float) -> None:
        values = self.means.take()
        values["learning_rate"] = learning_rate  # of the last step, not a mean
        with storing(self._folder):
            write_scalars(self._writer, {**values, **self._timed_means.take()}, step)
        self._metrics_file.append(step, values)


class EvalSummaries(orbit.utils.SummaryManagerInterface):
    """Writes the metrics of an evaluation, and pictures.

    Args:
      folder: gets TensorBoard's event files.
      metrics_file: gets a line per evaluation.
      global_step: the number of steps made.
    """

    def __init__(
        self, folder: pathlib.Path, *, metrics_file: MetricsFile, global_step: tf.Variable
    ) -> None:
        self._folder = folder
        with storing(folder):
            self._writer = tf.summary.create_file_writer(str(folder))
        self._metrics_file = metrics_file
        self._global_step = global_step

    def summary_writer(self, relative_path: str = "") -> tf.summary.SummaryWriter:
        """The writer of this manager's folder; `relative_path` is not used."""
        return self._writer

    def flush(self) -> None:
        """Makes sure that what was written is on disk."""
        with storing(self._folder):
            self._writer.flush()

    def write_summaries(self, summary_dict: Mapping[str, float]) -> None:
        """Takes the result of one evaluation; called by orbit's controller."""
        step = int(self._global_step.numpy())
        values = {n: float(v) for n, v in summary_dict.items() if n not in _LEFT_OUT}
        with storing(self._folder):
            write_scalars(self._writer, values, step)
        self._metrics_file.append(step, values)

    def write_table(self, table: str) -> None:
        """Adds the table of metrics per class, as text of fixed width."""
        step = int(self._global_step.numpy())
        with storing(self._folder), self._writer.as_default(step=step):
            tf.summary.text("eval/table", f"```\n{table}\n```")

    def write_picture(self, name: str, picture: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        step = int(self._global_step.numpy())
        with storing(self._folder), self._writer.as_default(step=step):
            tf.summary.image(f"eval/{name}", picture[None])


def write_scalars(writer: tf.summary.SummaryWriter, values: Mapping[str, float], step: int) -> None:
    """Adds scalars to TensorBoard, on disk before a checkpoint can say that they were made."""
    with writer.as_default(step=step):
        for name, value in values.items():
            tf.summary.scalar(name, value)
    writer.flush()

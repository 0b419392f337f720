"""Writes the dump of a faulty step, whatever goes wrong meanwhile."""

from __future__ import annotations

import tensorflow as tf

from trainer import assembly, distribution
from trainer.fault_dump import Circumstances, write_dump
from trainer.numeric_fault import StepReport
from trainer.versions import read_versions


def preserve_fault(
    run: assembly.Run,
    report: StepReport,
    *,
    message: str,
    checkpoint: tf.train.Checkpoint,
) -> str:
    """Writes all that is needed to make the step again; returns a sentence about it.

    The loop has let go of the batch, so it is read once more: seed and step decide the input.
    All of several workers write, because they save a checkpoint together, but what remains is
    what the chief writes.

    Args:
      run: stopped at this step.
      report: what was seen.
      message: what the user is told.
      checkpoint: holds the values from before the step, which were not changed.
    """
    circumstances = Circumstances(
        message=message,
        devices=distribution.describe(run.strategy),
        replicas=run.strategy.num_replicas_in_sync,
        versions=read_versions(),
    )
    # The fault is what has to be told: a full disk, a second fault or Ctrl-C must not hide it.
    try:
        batch = next(iter(assembly.make_training_dataset(run, report.step)))
        if sorted(batch[1]["image_id"].numpy().tolist()) != sorted(report.image_ids):
            return "Nothing was written to make the step again: its input does not come twice."
        folder = write_dump(
            run.output_dir,
            run.config,
            run.info,
            report=report,
            circumstances=circumstances,
            checkpoint=checkpoint,
            batch=batch,
        )
    except (OSError, ValueError, tf.errors.OpError, KeyboardInterrupt) as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        return f"What would make the step again could not be written: {reason}."
    if not run.workers.is_chief:
        return "Worker 0, the chief, says how to make the step again."
    return f"`kmax replay-step {folder}` makes the step again."

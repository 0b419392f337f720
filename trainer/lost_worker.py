"""A worker that another one waits for in vain: TensorFlow's error becomes a sentence."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator, Optional

import tensorflow as tf

from trainer.cluster import Cluster

_TASK = re.compile(r"/job:worker/(?:replica:0/)?task:(\d+)")


class LostWorkerError(ConnectionError):
    """Another worker of the run is not there, or not any more; the message names it."""


def name_worker(cluster: Cluster, index: int) -> str:
    """`worker 1 (host:port)`."""
    return f"worker {index} ({cluster.addresses[index]})"


@contextlib.contextmanager
def naming_lost_workers(cluster: Optional[Cluster]) -> Iterator[None]:
    """Inside, the end of another worker is raised as LostWorkerError.

    TensorFlow's coordination service notices it within ten seconds or so, whatever the cause: the
    process or its machine ended, hangs, or is cut off.

    Args:
      cluster: of this run; None = nothing happens.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if cluster is None or not _is_about_others(error):
            raise
        named = [int(i) for i in _TASK.findall(error.message) if int(i) != cluster.index]
        lost = name_worker(cluster, named[0]) if named else "another worker"
        raise LostWorkerError(
            f"Waited for {lost}, which has ended or cannot be reached any more; the reason is in "
            "its own output. Started again, all workers continue from the last checkpoint."
        ) from error


def _is_about_others(error: tf.errors.OpError) -> bool:
    """Whether an operation between workers failed, not one of this worker."""
    return "Collective" in error.message or _TASK.search(error.message) is not None

from __future__ import annotations

import pytest
import tensorflow as tf

from trainer.cluster import Cluster
from trainer.lost_worker import LostWorkerError, naming_lost_workers
from trainer.user_errors import run_reporting_errors

CLUSTER = Cluster(("a:1", "b:2", "c:3"), 0)


def _raise(error):
    with naming_lost_workers(CLUSTER):
        raise error


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Error reported from /job:worker/task:2: Task ... heartbeat timeout", "worker 2 (c:3)"),
        (
            "from /job:worker/replica:0/task:0 while calling /job:worker/replica:0/task:1",
            "worker 1 (b:2)",
        ),
        ("Collective ops is aborted by: Connection reset by peer", "another worker"),
    ],
)
def test_the_worker_is_named(message, named, capfd):
    error = tf.errors.UnavailableError(None, None, message)
    assert run_reporting_errors(lambda: _raise(error)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"kmax: Waited for {named}, which has ended")


def test_operations_between_workers_fail_in_several_ways():
    with pytest.raises(LostWorkerError):
        _raise(tf.errors.InternalError(None, None, "Collective ops is aborted by: x"))


def test_other_errors_are_left_alone():
    for message in ("something else", "the service of the input"):
        with pytest.raises(tf.errors.UnavailableError):
            _raise(tf.errors.UnavailableError(None, None, message))
    error = tf.errors.UnavailableError(None, None, "Collective ops is aborted")
    with pytest.raises(tf.errors.UnavailableError), naming_lost_workers(None):
        raise error

"""Waiting for the other workers before TensorFlow does, which can neither be told how long to wait
nor be interrupted then."""

from __future__ import annotations

import socket
import time
from typing import List, Tuple

from trainer.cluster import Cluster, split_address
from trainer.lost_worker import LostWorkerError, name_worker

_PAUSE_SECONDS = 0.2
_CONNECT_SECONDS = 2.0
_ANNOUNCE_SECONDS = 5.0


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Returns once every worker of the cluster listens at its address.

    This one listens meanwhile; the others may find what follows it at the same port, TensorFlow's
    server.

    Args:
      cluster: whose members are waited for.
      timeout: seconds.

    Raises:
      ValueError: the port of this worker is taken.
      LostWorkerError: a worker did not come in time.
    """
    start = time.monotonic()
    announced = False
    with _listen(cluster):
        missing = _unreachable(cluster, list(range(len(cluster.addresses))))
        while missing:
            waited = time.monotonic() - start
            names = ", ".join(name_worker(cluster, index) for index in missing)
            if waited > timeout:
                raise LostWorkerError(
                    f"Waited {waited:.0f} seconds (`trainer_options.stall_timeout`) for {names}: "
                    "nothing listens there; every worker has to be started with the same command."
                )
            if waited > _ANNOUNCE_SECONDS and not announced:
                own = name_worker(cluster, cluster.index)
                print(f"{own} waits up to {timeout:g} seconds for {names}.", flush=True)
                announced = True
            time.sleep(_PAUSE_SECONDS)
            missing = _unreachable(cluster, missing)


def _listen(cluster: Cluster) -> socket.socket:
    try:
        # Of both families where the machine has them: the others may use either.
        both = socket.has_dualstack_ipv6()
        return socket.create_server(
            ("", cluster.port),
            family=socket.AF_INET6 if both else socket.AF_INET,
            dualstack_ipv6=both,
            backlog=128,
        )
    except OSError as error:
        raise ValueError(
            f"{name_worker(cluster, cluster.index)} cannot use its port {cluster.port}: "
            f"{error.strerror}."
        ) from None


def _unreachable(cluster: Cluster, indices: List[int]) -> List[int]:
    return [index for index in indices if not _listens(split_address(cluster.addresses[index]))]


def _listens(address: Tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False

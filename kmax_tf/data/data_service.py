"""Input made by other processes: the tf.data service."""

from __future__ import annotations

import socket

import tensorflow as tf

from kmax_tf.data.service_address import split_address

CONNECT_SECONDS = 5.0
"""A dispatcher that does not answer by then is not there."""


def require_reachable(address: str, name: str) -> str:
    """Raises ValueError unless something listens at the address of a dispatcher.

    Args:
      address: `grpc://host:port`.
      name: the field or flag that holds it.

    Returns:
      The host address by which the dispatcher sees this machine.
    """
    host, port = split_address(address, name)
    try:
        with socket.create_connection((host.strip("[]"), port), CONNECT_SECONDS) as connection:
            own = connection.getsockname()[0]
    except OSError as error:
        raise ValueError(
            f"`{name}` {address} cannot be reached ({error.strerror or error}): start it there "
            f"with `kmax data-service --port={port}`, and workers with `--dispatcher={address}`."
        ) from None
    return f"[{own}]" if ":" in own else own


def distribute(dataset: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """The elements of a dataset, made by the workers of a service.

    The numbers that the dataset begins with are handed to the workers one by one, so that no two
    workers make the same element and every element is made, in an order that depends on the
    workers. Where a worker dies, the elements that it was making are lost.

    Args:
      dataset: without Python functions; its files are read by the workers, under the same paths.
      address: `grpc://host:port` of the dispatcher.
    """
    return dataset.apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC, service=address
        )
    )

"""`kmax data-service`: makes input for training on other machines (tf.data service)."""

from __future__ import annotations

import argparse
import socket
import threading

from kmax_tf.data.service_address import split_address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax data-service`."""
    parser.add_argument("--port", type=int, required=True, help="to listen at")
    parser.add_argument(
        "--dispatcher",
        metavar="ADDRESS",
        help="grpc://host:port of the dispatcher that this worker joins; without it, this process "
        "is the dispatcher, whose address goes into `train_dataset_options.data_service`. The "
        "record files must be there on every worker, under the same paths. Nothing is encrypted "
        "and nobody is asked who they are: for a network of your own only",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is interrupted.

    Raises:
      ValueError: the port is taken, or there is no such dispatcher.
    """
    port = arguments.port
    if not 0 < port < 65536:
        raise ValueError(f"`--port` must be in 1..65535; received {port}.")
    if arguments.dispatcher is not None:
        split_address(arguments.dispatcher, "--dispatcher")
    _require_free(port)

    import tensorflow as tf

    from kmax_tf.data.data_service import require_reachable

    service = tf.data.experimental.service
    if arguments.dispatcher is None:
        server = service.DispatchServer(service.DispatcherConfig(port=port))
        print(f"Dispatcher at grpc://{socket.gethostname()}:{port}.", flush=True)
    else:
        own = require_reachable(arguments.dispatcher, "--dispatcher")
        server = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=arguments.dispatcher.partition("://")[2],
                worker_address=f"{own}:{port}",
                port=port,
            )
        )
        print(f"Worker at {own}:{port} for {arguments.dispatcher}.", flush=True)
    try:
        wait()
    finally:
        del server  # stops it
    return 0


def wait() -> None:
    """Waits for Ctrl-C; unlike the servers' own `join` it lets the interrupt through."""
    threading.Event().wait()


def _require_free(port: int) -> None:
    """Raises ValueError where the port is taken: the servers would share it without a word."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
    except OSError as error:
        raise ValueError(
            f"`--port` {port} cannot be listened at: {error.strerror or error}."
        ) from None

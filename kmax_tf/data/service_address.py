"""The address of a tf.data service; no TensorFlow here, so that a config is checked quickly."""

from __future__ import annotations

import re
from typing import Tuple

_ADDRESS = re.compile(r"grpc://([\w.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})", re.ASCII)


def split_address(address: str, name: str) -> Tuple[str, int]:
    """Host and port of `grpc://host:port`.

    Args:
      address: of a dispatcher; an IPv6 host is in brackets.
      name: the field or flag that holds it.

    Raises:
      ValueError: it is no such address.
    """
    match = _ADDRESS.fullmatch(address)
    port = int(match.group(2)) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError(
            f"`{name}` must be `grpc://host:port` with a port in 1..65535; received {address!r}."
        )
    return match.group(1), port

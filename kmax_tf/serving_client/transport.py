"""What every way to a server has in common: files in, outputs or a named fault out."""

from __future__ import annotations

import abc
import enum
import re
from typing import Dict, Optional, Sequence

import numpy as np

Outputs = Dict[str, np.ndarray]
"""Outputs of `serving_default`, dimension 0 = the files of the request."""

SIGNATURE = "serving_default"
INPUT = "image_bytes"
NEEDED = ("panoptic", "semantic", "segment_id", "segment_score", "valid_size", "image_size")
"""What a result is made of."""


class Fault(enum.Enum):
    """What a failed request means for the next attempt."""

    CONTENT = "content"
    """A file of the request cannot be used, or one of another client's that the server merged it
    with: each file is tried again alone."""

    BUSY = "busy"
    """The server cannot be reached, has no room or took too long: the same again, later."""

    FINAL = "final"
    """No attempt will succeed: there is no such model, signature or output."""


class RequestError(Exception):
    """A request failed.

    Args:
      message: of the server or the network, one line.
      fault: what it means for the next attempt.
    """

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(" ".join(message.split()))
        self.fault = fault


class Transport(abc.ABC):
    """A way to one model of a server; may be used by several threads."""

    @abc.abstractmethod
    def send(self, files: Sequence[bytes]) -> Outputs:
        """Sends JPEG or PNG files in one request.

        Raises:
          RequestError: the request failed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the connection."""


def check_address(address: str) -> str:
    """Returns `HOST:PORT`; raises ValueError for anything else."""
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}", address):
        raise ValueError(
            f"`--address` must be HOST:PORT, such as localhost:8500; received {address!r}."
        )
    return address


def check_path(path: str) -> str:
    """Returns the path before `/v1/models`; raises ValueError for anything else."""
    if not re.fullmatch(r"(/[A-Za-z0-9_.~%-]+)+/?", path):
        raise ValueError(
            f"`--path` must be what an address has before /v1/models, such as /serving; received "
            f"{path!r}."
        )
    return path


def check_outputs(outputs: Outputs, count: int) -> Outputs:
    """Refuses an answer that is not one of `kmax export`.

    Args:
      outputs: as received.
      count: files of the request.

    Raises:
      RequestError: an output is missing, or has another number of rows.
    """
    for name in NEEDED:
        value: Optional[np.ndarray] = outputs.get(name)
        if value is None or value.ndim < 2 or len(value) != count:
            received = "none" if value is None else f"the shape {list(value.shape)}"
            raise RequestError(
                f"the server's answer must hold `{name}` of {count} images; received {received}",
                Fault.FINAL,
            )
    return outputs

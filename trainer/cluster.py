"""The processes of one run: their addresses, and which of them this one is."""

from __future__ import annotations

import os
import socket
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from kmax_tf.json_files import JsonError, parse_json

TF_CONFIG = "TF_CONFIG"

_LARGEST_PORT = 65535


class Cluster(NamedTuple):
    """Several workers, all started with the same command.

    Attributes:
      addresses: `host:port` of each, the chief's first.
      index: position of this process.
    """

    addresses: Tuple[str, ...]
    index: int

    @property
    def port(self) -> int:
        """The port on which this process is spoken to."""
        return split_address(self.addresses[self.index])[1]


def read_cluster(
    workers: Optional[str], worker_index: Optional[int], environment: Mapping[str, str]
) -> Optional[Cluster]:
    """The cluster that flags or environment describe; None = this process works alone.

    Args:
      workers: `--workers`, addresses separated by commas, or None.
      worker_index: `--worker_index`, or None: the address that is this machine's.
      environment: may hold `TF_CONFIG`.

    Raises:
      ValueError: the description is wrong or contradicts itself, or none of the addresses, or more
        than one, is this machine's.
    """
    description = environment.get(TF_CONFIG)
    if workers is None:
        if worker_index is not None:
            raise ValueError(
                f"`--worker_index` {worker_index} is the position in `--workers`, which is missing."
            )
        return _several(*_read_tf_config(description)) if description else None
    if description:
        raise ValueError(
            f"`--workers` {workers} and the environment variable {TF_CONFIG} exclude each other: "
            "remove one of them."
        )
    addresses = tuple(workers.split(","))
    _require_addresses(addresses, "`--workers`")
    if worker_index is None:
        return _several(addresses, _find_this_machine(addresses))
    if not 0 <= worker_index < len(addresses):
        raise ValueError(
            f"`--worker_index` must be in 0..{len(addresses) - 1}, a position in `--workers` "
            f"{workers}; received {worker_index}."
        )
    return _several(addresses, worker_index)


def split_address(address: str) -> Tuple[str, int]:
    """Host (an IPv6 address without its brackets) and port of `host:port`.

    Raises:
      ValueError: it has another form; the message lacks where the address comes from.
    """
    host, _, port = address.rpartition(":")
    spaced = any(character.isspace() for character in address)
    if spaced or not host or not port.isdecimal() or not 0 < int(port) <= _LARGEST_PORT:
        raise ValueError(f"an address must be `host:port`; received {address!r}.")
    return host.strip("[]"), int(port)


def _several(addresses: Tuple[str, ...], index: int) -> Optional[Cluster]:
    """A single worker is no cluster."""
    return Cluster(addresses, index) if len(addresses) > 1 else None


def _require_addresses(addresses: Tuple[str, ...], source: str) -> None:
    for address in addresses:
        try:
            split_address(address)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise ValueError(f"{source} must name every worker once; received {twice[0]} again.")


def _find_this_machine(addresses: Tuple[str, ...]) -> int:
    """Position of the address that is this machine's."""
    own = [index for index, address in enumerate(addresses) if _is_own(address)]
    if len(own) == 1:
        return own[0]
    found = f"{len(own)} of them are" if own else "none of them is"
    raise ValueError(
        f"`--workers` {','.join(addresses)}: {found} this machine's address; say with "
        "`--worker_index` which worker this is."
    )


def _is_own(address: str) -> bool:
    """Whether this machine has the address, which it does where a socket can be bound to it."""
    host, _ = split_address(address)
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(place)
        except OSError:
            continue
        return True
    return False


def _read_tf_config(description: str) -> Tuple[Tuple[str, ...], int]:
    """Addresses and position from the JSON of `TF_CONFIG`."""
    try:
        content = parse_json(os.fsencode(description))
    except JsonError as error:
        raise ValueError(f"{TF_CONFIG} must be a JSON object; {error}.") from None
    cluster, task = _part(content, "cluster"), _part(content, "task")
    other = sorted(set(cluster) - {"chief", "worker"})
    if other:
        raise ValueError(
            f"{TF_CONFIG} may have the jobs chief and worker in `cluster`; received {other[0]}."
        )
    jobs: Dict[str, List[str]] = {name: cluster.get(name, []) for name in ("chief", "worker")}
    for name, members in jobs.items():
        if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
            raise ValueError(
                f"{TF_CONFIG} must give a list of addresses as `cluster.{name}`; received "
                f"{members!r}."
            )
    kind, index = task.get("type"), task.get("index")
    members = jobs.get(kind) if isinstance(kind, str) else None
    # A bool is an int, too.
    if members is None or type(index) is not int or not 0 <= index < len(members):
        raise ValueError(
            f"{TF_CONFIG} must name a member of `cluster` in `task.type` and `task.index`; "
            f"received {kind!r} and {index!r}."
        )
    addresses = (*jobs["chief"], *jobs["worker"])
    _require_addresses(addresses, TF_CONFIG)
    return addresses, index + (len(jobs["chief"]) if kind == "worker" else 0)


def _part(content: Any, name: str) -> Dict[str, Any]:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"{TF_CONFIG} must be a JSON object with an object `{name}`.")
    return part

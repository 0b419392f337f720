"""Several processes on this machine that train together."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from typing import Iterator, List, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent


def free_addresses(count: int) -> List[str]:
    """`127.0.0.1:port` with ports that nothing uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


class WorkerGroup:
    """Workers that were started, and what they print."""

    def __init__(
        self,
        module: str,
        flags: Sequence[str],
        *,
        own_flags: Sequence[Sequence[str]],
        folder: pathlib.Path,
    ) -> None:
        count = len(own_flags)
        self.addresses = free_addresses(count)
        workers = f"--workers={','.join(self.addresses)}"
        self._outputs = [folder / f"worker_{index}.txt" for index in range(count)]
        self.processes = []
        for index, path in enumerate(self._outputs):
            own = [workers, f"--worker_index={index}", *own_flags[index]]
            command = [sys.executable, "-m", module, *flags, *own]
            with path.open("w") as file:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
                    )
                )

    def output(self, index: int) -> str:
        """What a worker has printed so far, on standard output and error."""
        return self._outputs[index].read_text(errors="replace")

    def wait(self, timeout: float = 240.0) -> List[int]:
        """Exit codes of all workers."""
        deadline = time.monotonic() + timeout
        return [p.wait(max(0.0, deadline - time.monotonic())) for p in self.processes]

    def wait_for_text(self, index: int, text: str, timeout: float = 240.0) -> None:
        """Returns once the worker has printed `text`; an error if it ends before."""
        deadline = time.monotonic() + timeout
        while text not in self.output(index):
            if self.processes[index].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} from worker {index}:\n{self.output(index)}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends what is still running."""
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def worker_group(
    module: str,
    flags: Sequence[str],
    *,
    folder: pathlib.Path,
    own_flags: Sequence[Sequence[str]] = ((), ()),
) -> Iterator[WorkerGroup]:
    """Starts workers; none outlives the block.

    Args:
      module: is run with the flags.
      flags: of all workers.
      folder: gets what they print.
      own_flags: more flags for each worker.
    """
    group = WorkerGroup(module, flags, own_flags=own_flags, folder=folder)
    try:
        yield group
    finally:
        group.kill()

"""Sends any number of images to a server: in batches, side by side, and again where that helps."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import random
import time
from typing import Callable, Deque, Iterable, Iterator, List, Sequence, Tuple, Union

from kmax_tf.serving_client.transport import Fault, Outputs, RequestError, Transport

Answer = Union[Outputs, RequestError]
"""Outputs of one file, without dimension 0, or why there are none."""

_FIRST_WAIT = 0.25
_LONGEST_WAIT = 8.0


class ServingClient:
    """Asks a server for the segments of images.

    A request that fails because of its content is repeated file by file, so that one broken image
    costs only itself. A single file is repeated too, because the server may have merged it with a
    broken file of another client.

    Args:
      transport: the way to the server.
      batch_size: files in a request.
      concurrency: requests that are under way at the same time.
      retries: how often a request is repeated.
      wait: waits for a number of seconds before a repetition.

    Raises:
      ValueError: a number is too small.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        batch_size: int = 1,
        concurrency: int = 4,
        retries: int = 3,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("concurrency", concurrency, 1),
            ("retries", retries, 0),
        ):
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}; received {value}.")
        self._transport = transport
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._retries = retries
        self._wait = wait

    def ask(self, files: Iterable[bytes]) -> Iterator[Answer]:
        """Sends JPEG or PNG files.

        Args:
          files: read as needed, a few requests ahead.

        Yields:
          One answer per file, in order.
        """
        iterator = iter(files)
        pool = concurrent.futures.ThreadPoolExecutor(self._concurrency)
        waiting: Deque[concurrent.futures.Future] = collections.deque()
        try:
            while True:
                # One more than are under way, so that no thread waits for the reader.
                while len(waiting) <= self._concurrency:
                    batch = list(itertools.islice(iterator, self._batch_size))
                    if not batch:
                        break
                    waiting.append(pool.submit(self._answers, batch))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _answers(self, files: Sequence[bytes]) -> List[Answer]:
        outputs, error = self._try(files)
        if error is None:
            return [
                {name: value[index] for name, value in outputs.items()}
                for index in range(len(files))
            ]
        if error.fault is Fault.CONTENT and len(files) > 1:
            return [answer for file in files for answer in self._answers([file])]
        return [error] * len(files)

    def _try(self, files: Sequence[bytes]) -> Tuple[Outputs, Union[RequestError, None]]:
        """Sends one request until it succeeds or is not to be repeated."""
        attempt = 0
        while True:
            try:
                return self._transport.send(files), None
            except RequestError as error:
                separable = error.fault is Fault.CONTENT and len(files) > 1
                if separable or error.fault is Fault.FINAL or attempt == self._retries:
                    return {}, error
                # Not in step with others who were refused together: they would meet again.
                longest = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
                self._wait(longest * random.uniform(0.5, 1.0))
                attempt += 1

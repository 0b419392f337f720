"""What the workers of a run tell each other beside gradients; trivial for one that is alone."""

from __future__ import annotations

import io
from typing import Dict, List, Optional

import numpy as np
import tensorflow as tf

from trainer.cluster import Cluster
from trainer.interrupts import Interrupts
from trainer.user_errors import TERMINATED, Terminated, exit_code_of

_WORD = np.dtype(np.int64)


class Workers:
    """This worker among the others.

    Every worker has to make the same calls in the same order: each waits for all.

    Args:
      strategy: of the run.
      cluster: its workers; None = this one is alone.
      interrupts: of this worker; None = it is never interrupted.

    Attributes:
      strategy: of the run.
      index: position among the workers.
      count: number of workers.
      is_chief: whether this worker writes the results.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        *,
        cluster: Optional[Cluster] = None,
        interrupts: Optional[Interrupts] = None,
    ) -> None:
        self.strategy = strategy
        self._interrupts = interrupts or Interrupts()
        # With one signature: traced once, whatever the sizes.
        self._gather = tf.function(
            self._gather_in_graph,
            input_signature=[tf.TensorSpec([None], tf.int64)],
            autograph=False,
        )
        self.index = 0 if cluster is None else cluster.index
        self.count = 1 if cluster is None else len(cluster.addresses)
        self.is_chief = self.index == 0

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt of this worker is to be told to the others: `meet` them soon."""
        return self.count > 1 and self._interrupts.requested is not None

    def meet(self) -> None:
        """Waits for all workers; raises KeyboardInterrupt where one was interrupted."""
        self.exchange({})

    def exchange(self, arrays: Dict[str, np.ndarray]) -> List[Dict[str, np.ndarray]]:
        """What every worker gave, in the order of the workers, and the same for all.

        Args:
          arrays: of this worker, any shapes and dtypes but objects.

        Raises:
          KeyboardInterrupt: a worker was interrupted; `Terminated` where one got SIGTERM.
        """
        if self.count == 1:
            return [arrays]
        file = io.BytesIO()
        np.savez(file, **arrays)
        content = file.getvalue()
        requested = self._interrupts.requested
        code = 0 if requested is None else exit_code_of(requested)
        sizes, codes = self._gather([len(content), code]).numpy().reshape(-1, 2).T
        if codes.any():
            raise Terminated if TERMINATED in codes else KeyboardInterrupt
        gathered = self._gather(_as_words(content)).numpy()
        parts = np.split(gathered, np.cumsum([_words(size) for size in sizes])[:-1])
        return [_load(part.tobytes()[:size]) for part, size in zip(parts, sizes)]

    def from_chief(self, text: str) -> str:
        """The text that the chief gave, for all of them to go the same way."""
        value = np.frombuffer(text.encode("utf-8"), np.uint8)
        return self.exchange({"text": value})[0]["text"].tobytes().decode("utf-8")

    def any_interrupted(self) -> tf.Tensor:
        """Whether any worker was interrupted, bool scalar, the same for all; for graphs."""
        stop = self._interrupts.stop.read_value()
        if self.count == 1:
            return stop

        def count() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(stop, tf.float32))

        return self.strategy.experimental_local_results(self.strategy.run(count))[0] > 0.0

    def _gather_in_graph(self, values: tf.Tensor) -> tf.Tensor:
        """The values of all workers one after the other, int64 [n] of each."""
        per_worker = self.strategy.num_replicas_in_sync // self.count

        def gather(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group % per_worker, 0)
            size = tf.where(is_first, tf.size(values), 0)  # One replica speaks for its worker.
            return context.all_gather(values[:size], axis=0)

        gathered = self.strategy.run(gather, args=(values,))
        return self.strategy.experimental_local_results(gathered)[0]


def _words(size: int) -> int:
    return -(-int(size) // _WORD.itemsize)


def _as_words(content: bytes) -> np.ndarray:
    """int64 [n], the last one filled up with zeros."""
    return np.frombuffer(content.ljust(_words(len(content)) * _WORD.itemsize, b"\0"), _WORD)


def _load(content: bytes) -> Dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)

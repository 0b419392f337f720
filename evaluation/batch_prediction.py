"""Batches of images through the network, on every replica of a strategy."""

from __future__ import annotations

from typing import Callable, Optional

import tensorflow as tf

from kmax_tf.structures import PanopticPrediction

Network = Callable[[tf.Tensor], PanopticPrediction]


class BatchPredictor:
    """Predicts batches of up to `batch_size` images, shared by the replicas of this process.

    Every batch is brought to the same size by repeating its last image, and the surplus results are
    cut off: there is one graph, and each replica has the same work. Nothing is kept from one batch
    to the next.

    Args:
      network: float32 [b, H, W, 3] in 0..255 -> `PanopticPrediction`, rows independent of one
        another.
      batch_size: the most images of a batch, over all replicas of this process.
      strategy: where it runs; the variables of `network` were made in its scope.
      jit_compile: as `tf.function` takes it: True = XLA compiles the network; one replica only.
    """

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int,
        strategy: tf.distribute.Strategy,
        jit_compile: Optional[bool] = None,
    ) -> None:
        several = strategy.num_replicas_in_sync > 1  # The default strategy has no list of devices.
        self._replicas = len(strategy.extended.worker_devices) if several else 1
        self._network = (
            tf.function(network, autograph=False, jit_compile=True) if jit_compile else network
        )
        self._full_size = -(-batch_size // self._replicas) * self._replicas
        self._strategy = strategy
        self._predict = tf.function(self._predict_full, autograph=False)

    def __call__(self, images: tf.Tensor) -> PanopticPrediction:
        """Predicts.

        Args:
          images: float32 [b, H, W, 3], b from 1 to the batch size.

        Returns:
          The prediction of the b images, in arrays instead of tensors.
        """
        count = int(images.shape[0])
        missing = self._full_size - count
        if missing:
            images = tf.concat([images, tf.repeat(images[-1:], missing, axis=0)], 0)
        prediction = self._predict(images)
        return PanopticPrediction(*(field.numpy()[:count] for field in prediction))

    def _predict_full(self, images: tf.Tensor) -> PanopticPrediction:
        if self._replicas == 1:
            return self._strategy.run(self._network, args=(images,))
        parts = iter(tf.split(images, self._replicas))
        shares = self._strategy.experimental_distribute_values_from_function(lambda _: next(parts))
        prediction = self._strategy.run(self._network, args=(shares,))
        return PanopticPrediction(
            *(tf.concat(self._strategy.experimental_local_results(f), 0) for f in prediction)
        )

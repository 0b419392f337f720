"""The order of training: which record is read at which position, without reading any before it."""

from __future__ import annotations

from typing import Mapping

import numpy as np
import tensorflow as tf

# Fewer leave the orders of two epochs alike.
_ROUNDS = 8

Exclusions = Mapping[int, int]
"""Image id -> position from which on the record is left out."""


def shuffled_id(position: tf.Tensor, *, total: int, seed: int, excluded: Exclusions) -> tf.Tensor:
    """The image id at a position of an endless random order.

    Each epoch of `total` positions is a permutation of all ids. In place of an id that is left out
    comes that of the next position that has another one, so nothing else moves.

    Args:
      position: int64 scalar.
      total: number of records.
      seed: of the order.
      excluded: what is left out; must leave at least one record.

    Returns:
      int64 scalar.
    """
    if not excluded:
        return _permuted_id(position, total, seed)
    banned = tf.constant(list(excluded), tf.int64)
    begins = tf.constant(list(excluded.values()), tf.int64)

    def is_banned(candidate: tf.Tensor, image_id: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any((banned == image_id) & (begins <= position))

    def move_on(candidate: tf.Tensor, image_id: tf.Tensor) -> tuple:
        return candidate + 1, _permuted_id(candidate + 1, total, seed)

    start = (position, _permuted_id(position, total, seed))
    return tf.while_loop(is_banned, move_on, start)[1]


def _permuted_id(position: tf.Tensor, total: int, seed: int) -> tf.Tensor:
    """Without exclusions."""
    if total == 1:
        return tf.zeros_like(position)
    epoch = tf.stack([tf.constant(seed, tf.int64), position // total])
    # The permutation uses only a few low bits of its key, so the key must be random.
    key = tf.random.stateless_uniform(
        [3], epoch, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.raw_ops.RandomIndexShuffle(
        index=position % total, seed=key, max_index=np.int64(total - 1), rounds=_ROUNDS
    )

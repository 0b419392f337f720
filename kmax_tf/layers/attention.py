"""Multi-head attention of mask transformers: batch norm on logits and on what is retrieved."""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from kmax_tf.layers.norm import BatchNorm, NormSettings
from kmax_tf.shapes import dimensions


class NormedAttention(tf.keras.layers.Layer):
    """Multi-head attention with batch norm on logits (per head) and on the retrieved value.

    There is no scaling of logits, no positional term and no output projection (MaX-DeepLab,
    https://arxiv.org/abs/2012.00759, section 3.2).

    Args:
      key_width: channels of queries and of keys over all heads.
      value_width: channels of values over all heads.
      num_heads: divides both.
      norm: settings of the batch norms.

    Raises:
      ValueError: widths that the heads do not divide.
    """

    def __init__(
        self,
        *,
        key_width: int,
        value_width: int,
        num_heads: int,
        norm: NormSettings,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if key_width % num_heads or value_width % num_heads:
            raise ValueError(
                f"`key_width` and `value_width` must be multiples of `num_heads` {num_heads}; "
                f"received {key_width} and {value_width}."
            )
        self.key_width = key_width
        self.value_width = value_width
        self.num_heads = num_heads
        self.norm_settings = NormSettings(*norm)
        self.similarity_norm = BatchNorm(norm, axes=(1,), name="similarity_norm")
        self.retrieved_norm = BatchNorm(
            norm,
            parameter_shape=(1, num_heads, 1, value_width // num_heads),
            name="retrieved_norm",
        )

    def call(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Retrieves.

        Args:
          query: float [B, L, key_width].
          key: float [B, L', key_width].
          value: float [B, L', value_width].
          training: whether batch statistics are used.

        Returns:
          [B, L, value_width].
        """
        batch, length, _ = dimensions(query)
        # Keras casts the first argument only.
        key, value = tf.cast(key, query.dtype), tf.cast(value, query.dtype)
        query, key, value = (self._split_heads(part) for part in (query, key, value))
        if self.similarity_norm.folded and not training:
            # What multiplies each head is quicker before the product, and what is added is the same
            # for all keys: softmax ignores it.
            factor, _ = self.similarity_norm.constants()
            factor = tf.cast(factor[:, tf.newaxis, tf.newaxis], query.dtype)
            similarity = tf.matmul(query * factor, key, transpose_b=True)
        else:
            similarity = tf.matmul(query, key, transpose_b=True)
            similarity = self.similarity_norm(similarity, training=training)
        weights = tf.cast(tf.nn.softmax(tf.cast(similarity, tf.float32)), value.dtype)
        retrieved = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        retrieved = tf.reshape(retrieved, [batch, length, self.value_width])
        return self.retrieved_norm(retrieved, training=training)

    def _split_heads(self, features: tf.Tensor) -> tf.Tensor:
        """[B, L, D] -> [B, heads, L, D / heads]."""
        batch, length, channels = dimensions(features)
        shape = [batch, length, self.num_heads, channels // self.num_heads]
        return tf.transpose(tf.reshape(features, shape), [0, 2, 1, 3])

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "key_width": self.key_width,
            "value_width": self.value_width,
            "num_heads": self.num_heads,
            "norm": tuple(self.norm_settings),
        }


class SlotAttention(NormedAttention):
    """Self-attention among mask slots; arguments as for `NormedAttention`."""

    def call(self, query_key_value: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Retrieves.

        Args:
          query_key_value: float [B, Q, 2 * key_width + value_width], in this order.
          training: whether batch statistics are used.

        Returns:
          [B, Q, value_width].
        """
        parts = tf.split(query_key_value, [self.key_width, self.key_width, self.value_width], -1)
        return super().call(*parts, training=training)

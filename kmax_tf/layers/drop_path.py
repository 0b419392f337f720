"""Stochastic depth: drops whole residual branches of single images."""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from kmax_tf.layers.random_stream import draw_uniform


class DropPath(tf.keras.layers.Layer):
    """Keeps the branch of each image with `keep_prob`, scaled by its inverse; only in training.

    Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382.

    Input and result: float [B, ...], same shape.

    Args:
      keep_prob: in (0, 1]; 1 = identity.
    """

    def __init__(self, keep_prob: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 < keep_prob <= 1.0:
            raise ValueError(f"`keep_prob` must lie in (0, 1]; received {keep_prob}.")
        self.keep_prob = keep_prob

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.keep_prob == 1.0:
            return inputs
        batch = inputs.shape[0] if inputs.shape[0] is not None else tf.shape(inputs)[0]
        shape = [batch] + [1] * (inputs.shape.rank - 1)
        kept = draw_uniform(shape) < self.keep_prob
        return inputs * tf.where(kept, tf.cast(1.0 / self.keep_prob, inputs.dtype), 0)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "keep_prob": self.keep_prob}

"""Dual-path transformer block of MaX-DeepLab (https://arxiv.org/abs/2012.00759, figure 3)."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Tuple

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.attention import NormedAttention
from kmax_tf.layers.conv import LinearNorm
from kmax_tf.layers.drop_path import DropPath
from kmax_tf.layers.norm import NormSettings
from kmax_tf.shapes import dimensions


class DualPathBlockSettings(NamedTuple):
    """Sizes of a block.

    Attributes:
      pixel_channels: D of the pixel path.
      memory_channels: D' of the memory.
      width: channels of queries and of keys over all heads; values and the projections that they
        are made from have twice as many.
      num_heads: divides `width`.
      feed_forward_width: hidden channels of the feed-forward network.
      drop_path_keep_prob: of each of the three residual branches in training.
    """

    pixel_channels: int
    memory_channels: int
    width: int
    num_heads: int
    feed_forward_width: int
    drop_path_keep_prob: float


class DualPathBlock(tf.keras.layers.Layer):
    """Pixels and memory read each other; the memory also reads itself.

    Memory-to-pixel attention (M2P) updates the pixels; pixel-to-memory (P2M) and memory-to-memory
    attention (M2M) share one softmax over all pixels and slots and update the memory, followed by
    a feed-forward network. All three read the block's input. Pixel-to-pixel attention is the
    residual block before this one.

    Args:
      settings: sizes.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        settings: DualPathBlockSettings,
        *,
        norm: NormSettings,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings = DualPathBlockSettings(*settings)
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        self._activate = activation_function(activation)
        self._key_width, self._value_width = settings.width, 2 * settings.width
        bottleneck = 2 * settings.width
        qkv = 2 * self._key_width + self._value_width
        std = bottleneck**-0.5

        def linear(name: str, channels: int, **options: Any) -> LinearNorm:
            return LinearNorm(channels, norm=norm, name=name, **options)

        def attention(name: str) -> NormedAttention:
            return NormedAttention(
                key_width=self._key_width,
                value_width=self._value_width,
                num_heads=settings.num_heads,
                norm=norm,
                name=name,
            )

        self.memory_projection = linear("memory_projection", bottleneck, activation=activation)
        self.pixel_projection = linear("pixel_projection", bottleneck, activation=activation)
        self.memory_qkv = linear("memory_qkv", qkv, kernel_std=std)
        self.pixel_qkv = linear("pixel_qkv", qkv, kernel_std=std)
        self.memory_attention = attention("memory_attention")
        self.memory_output = linear("memory_output", settings.memory_channels, gamma=0.0)
        self.feed_forward_hidden = linear(
            "feed_forward_hidden", settings.feed_forward_width, activation=activation
        )
        self.feed_forward_output = linear(
            "feed_forward_output", settings.memory_channels, gamma=0.0
        )
        self.pixel_attention = attention("pixel_attention")
        self.pixel_output = linear("pixel_output", settings.pixel_channels, gamma=0.0)
        self.drop_path = DropPath(settings.drop_path_keep_prob, name="drop_path")

    def call(
        self, pixels: tf.Tensor, memory: tf.Tensor, training: bool = False
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Exchanges.

        Args:
          pixels: raw float [B, h, w, D].
          memory: float [B, Q, D'].
          training: whether batch statistics and drop path are used.

        Returns:
          Raw pixels [B, h, w, D]; memory [B, Q, D'], activated.
        """
        memory = tf.cast(memory, pixels.dtype)  # Keras casts the first argument only.
        batch, height, width, channels = dimensions(pixels)
        rows = tf.reshape(pixels, [batch, height * width, channels])
        pixel_space = self.pixel_projection(self._activate(rows, training), training=training)
        pixel_qkv = self._split(self.pixel_qkv(pixel_space, training=training))
        memory_space = self.memory_projection(memory, training=training)
        memory_qkv = self._split(self.memory_qkv(memory_space, training=training))

        message = self.pixel_attention(
            pixel_qkv[0], memory_qkv[1], memory_qkv[2], training=training
        )
        message = self.pixel_output(self._activate(message, training), training=training)
        update = tf.reshape(message, [batch, height, width, channels])
        new_pixels = pixels + self.drop_path(update, training=training)
        return new_pixels, self._update_memory(memory, memory_qkv, pixel_qkv, training)

    def _split(self, qkv: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        query, key, value = tf.split(qkv, [self._key_width, self._key_width, self._value_width], -1)
        return query, key, value

    def _update_memory(
        self,
        memory: tf.Tensor,
        memory_qkv: Tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        pixel_qkv: Tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        # Keys and values are joined, not logits: these are wider by slots x heads / channels.
        context = self.memory_attention(
            memory_qkv[0],
            tf.concat([pixel_qkv[1], memory_qkv[1]], 1),
            tf.concat([pixel_qkv[2], memory_qkv[2]], 1),
            training=training,
        )
        context = self.memory_output(self._activate(context, training), training=training)
        memory = self._activate(memory + self.drop_path(context, training=training), training)
        hidden = self.feed_forward_hidden(memory, training=training)
        hidden = self.feed_forward_output(hidden, training=training)
        return self._activate(memory + self.drop_path(hidden, training=training), training)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "settings": tuple(self.settings),
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
        }

"""Position-sensitive axial attention (Axial-DeepLab, https://arxiv.org/abs/2003.07853)."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import tensorflow as tf

from kmax_tf.layers.norm import BatchNorm, NormSettings
from kmax_tf.layers.positional_encoding import RelativePositions
from kmax_tf.layers.row_product import row_product
from kmax_tf.shapes import Size, dimensions, subsample


class AxisAttention(tf.keras.layers.Layer):
    """Self-attention along the rows or the columns of a map, with relative positions.

    Logits are the sum of three terms (content, query-position, key-position), the retrieved value
    is the sum of two (content, position); each term has its own batch norm. Logits are not scaled.

    Input: float [B, h, w, D]. Result: [B, h, w, value_width].

    Args:
      axis: `height` (within each column) or `width` (within each row).
      key_width: channels of queries and of keys over all heads.
      value_width: channels of values over all heads.
      num_heads: divides both.
      norm: settings of the batch norms.

    Raises:
      ValueError: unknown axis, or widths that the heads do not divide.
    """

    def __init__(
        self,
        *,
        axis: str,
        key_width: int,
        value_width: int,
        num_heads: int,
        norm: NormSettings,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axis not in ("height", "width"):
            raise ValueError(f"`axis` accepts height or width; received {axis!r}.")
        if key_width % num_heads or value_width % num_heads:
            raise ValueError(
                f"`key_width` and `value_width` must be multiples of `num_heads` {num_heads}; "
                f"received {key_width} and {value_width}."
            )
        self.axis = axis
        self.key_width = key_width
        self.value_width = value_width
        self.num_heads = num_heads
        self.norm_settings = NormSettings(*norm)
        key_depth, value_depth = key_width // num_heads, value_width // num_heads
        self.qkv_norm = BatchNorm(norm, name="qkv_norm")
        self.similarity_norm = BatchNorm(
            norm, axes=(0, 3), parameter_shape=(3, 1, num_heads, 1, 1), name="similarity_norm"
        )
        self.retrieved_norm = BatchNorm(
            norm, parameter_shape=(2, 1, num_heads, 1, value_depth), name="retrieved_norm"
        )
        self.query_positions = RelativePositions(key_depth, name="query_positions")
        self.key_positions = RelativePositions(key_depth, name="key_positions")
        self.value_positions = RelativePositions(value_depth, name="value_positions")

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.qkv_kernel = self.add_weight(
            name="qkv_kernel",
            shape=[input_shape[-1], 2 * self.key_width + self.value_width],
            initializer=tf.keras.initializers.TruncatedNormal(stddev=input_shape[-1] ** -0.5),
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        batch, height, width, _ = dimensions(inputs)
        along = _Lines(batch, height, width, self.num_heads, is_height=self.axis == "height")
        query, key, value = self._project(inputs, (batch, height, width), training)

        tables = self.query_positions(along.length), self.key_positions(along.length)
        weights = tf.nn.softmax(self._similarity(query, key, tables, along, training=training))

        value_table = self.value_positions(along.length)
        by_content = tf.matmul(weights, along.by_line(value))
        by_position = tf.matmul(along.lines_to_places(weights), value_table)
        shape = [batch, height, width, self.value_width]
        retrieved = tf.concat(
            [
                tf.reshape(along.lines_to_map(by_content), shape),
                tf.reshape(along.places_to_map(by_position), shape),
            ],
            -1,
        )
        retrieved = self.retrieved_norm(retrieved, training=training)
        return tf.add_n(tf.split(retrieved, 2, -1))

    def _similarity(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        tables: Tuple[tf.Tensor, tf.Tensor],
        along: _Lines,
        *,
        training: bool,
    ) -> tf.Tensor:
        """Logits [B, o, heads, q, k]; once folded without what is the same for all keys.

        Args:
          query: float [B, h, w, heads, depth].
          key: of the same shape.
          tables: positions of queries and of keys, each [q, k, depth].
          along: the layouts of the attended axis.
          training: whether batch statistics are used.
        """
        content, queries, keys = key, query, key
        folded = self.similarity_norm.folded and not training
        if folded:
            # The norm multiplies each term and head by a constant: that is quicker before the
            # products. What it adds is the same for all keys, which softmax ignores.
            factors, _ = self.similarity_norm.constants()
            factors = tf.cast(tf.reshape(factors, [3, self.num_heads, 1]), query.dtype)
            content, queries, keys = key * factors[0], query * factors[1], key * factors[2]
        of_queries = tf.matmul(along.by_place(queries), tables[0], transpose_b=True)
        # One product for each place of the key: [q, k, depth] -> [k, depth, q].
        of_keys = tf.matmul(along.by_place(keys), tf.transpose(tables[1], [1, 2, 0]))
        terms = [
            tf.matmul(along.by_line(query), along.by_line(content), transpose_b=True),
            along.restore_lines(tf.transpose(of_queries, [1, 0, 2])),
            along.restore_lines(tf.transpose(of_keys, [1, 2, 0])),
        ]
        if folded:
            return tf.add_n(terms)
        return tf.reduce_sum(self.similarity_norm(tf.stack(terms), training=training), 0)

    def fold(self) -> None:
        """Folds the batch norm of queries, keys and values into their kernel, for good."""
        if self.built:
            self.qkv_norm.fold_into(self.qkv_kernel)

    def _project(
        self, inputs: tf.Tensor, sizes: Tuple[Size, Size, Size], training: bool
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Queries, keys and values, each [B, h, w, heads, depth]."""
        rows = row_product(
            tf.reshape(inputs, [-1, inputs.shape[-1]]), self.qkv_kernel, training=training
        )
        bias = self.qkv_norm.bias_of_kernel(training)
        if bias is not None:
            rows = tf.nn.bias_add(rows, bias)
        qkv = tf.reshape(rows, [*sizes, self.qkv_kernel.shape[-1]])
        if bias is None:
            qkv = self.qkv_norm(qkv, training=training)
        query, key, value = (
            tf.reshape(part, [*sizes, self.num_heads, part.shape[-1] // self.num_heads])
            for part in tf.split(qkv, [self.key_width, self.key_width, self.value_width], -1)
        )
        return query, key, value

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "key_width": self.key_width,
            "value_width": self.value_width,
            "num_heads": self.num_heads,
            "norm": tuple(self.norm_settings),
        }


class _Lines:
    """How a map with heads is laid out for products along its rows or its columns.

    Written with `matmul` on two layouts that are made once, attention takes about two thirds of the
    time that it takes as `einsum`, which turns the operands of every product.

      map: [B, h, w, heads, D].
      lines: [B, o, heads, q, D], one matrix for every line (o is the other axis) and head.
      places: [q, B * o * heads, D], one matrix for every place q on the lines.

    Args:
      batch: B.
      height: h.
      width: w.
      heads: number of heads.
      is_height: whether lines are columns.
    """

    def __init__(
        self, batch: Size, height: Size, width: Size, heads: int, *, is_height: bool
    ) -> None:
        self.length, others = (height, width) if is_height else (width, height)
        self._lines = [batch, others, heads]
        self._is_height = is_height

    def by_line(self, features: tf.Tensor) -> tf.Tensor:
        """Map -> lines."""
        return tf.transpose(features, [0, 2, 3, 1, 4] if self._is_height else [0, 1, 3, 2, 4])

    def by_place(self, features: tf.Tensor) -> tf.Tensor:
        """Map -> places."""
        turned = tf.transpose(features, [1, 0, 2, 3, 4] if self._is_height else [2, 0, 1, 3, 4])
        return tf.reshape(turned, [self.length, -1, features.shape[-1]])

    def lines_to_map(self, features: tf.Tensor) -> tf.Tensor:
        """Lines -> map."""
        return tf.transpose(features, [0, 3, 1, 2, 4] if self._is_height else [0, 1, 3, 2, 4])

    def places_to_map(self, features: tf.Tensor) -> tf.Tensor:
        """Places -> map."""
        parted = tf.reshape(features, [self.length, *self._lines, features.shape[-1]])
        return tf.transpose(parted, [1, 0, 2, 3, 4] if self._is_height else [1, 2, 0, 3, 4])

    def lines_to_places(self, features: tf.Tensor) -> tf.Tensor:
        """Lines -> places."""
        matrices = tf.reshape(features, [-1, self.length, dimensions(features)[-1]])
        return tf.transpose(matrices, [1, 0, 2])

    def restore_lines(self, matrices: tf.Tensor) -> tf.Tensor:
        """[B * o * heads, q, D] -> lines."""
        return tf.reshape(matrices, [*self._lines, self.length, dimensions(matrices)[-1]])


class AxialAttention2D(tf.keras.layers.Layer):
    """Attention along the height, then along the width, with nothing between.

    Input: float [B, h, w, D]. Result: [B, ceil(h / strides), ceil(w / strides), value_width].

    Args:
      key_width: channels of queries and of keys over all heads.
      value_width: channels of values over all heads.
      num_heads: divides both.
      norm: settings of the batch norms.
      strides: rows are dropped after the height pass, columns after the width pass.
    """

    def __init__(
        self,
        *,
        key_width: int,
        value_width: int,
        num_heads: int,
        norm: NormSettings,
        strides: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.strides = strides
        options = {
            "key_width": key_width,
            "value_width": value_width,
            "num_heads": num_heads,
            "norm": norm,
        }
        self.height_axis = AxisAttention(axis="height", name="height_axis", **options)
        self.width_axis = AxisAttention(axis="width", name="width_axis", **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = self.height_axis(inputs, training=training)
        features = subsample(features, self.strides, 1)
        return subsample(self.width_axis(features, training=training), 1, self.strides)

    def get_config(self) -> Dict[str, Any]:
        config = self.height_axis.get_config()
        names = ("key_width", "value_width", "num_heads", "norm")
        return {
            **super().get_config(),
            **{name: config[name] for name in names},
            "strides": self.strides,
        }

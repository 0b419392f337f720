"""Exact minimum-cost assignment of a batch, inside the graph.

The shortest augmenting path algorithm (Jonker and Volgenant, "A shortest augmenting path algorithm
for dense and sparse linear assignment problems", 1987), vectorised over the batch. All shapes are
static and all loops are `tf.while_loop`, so it compiles with XLA and runs on TPUs. The number of
iterations depends on the real rows only, never on the padding.

A row's dual variable is not stored: it follows from its tight edge, `cost[row, column] - price`.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np
import tensorflow as tf

_FREE = -1  # No row holds this column.
_ROOT = -1  # A column that the search reached directly from the row that looks for a column.


class _Search(NamedTuple):
    """One Dijkstra search per batch element, from a row to the nearest free column.

    Attributes:
      distance: float32 [B, M], length of the shortest path found so far to each column.
      previous: int32 [B, M], the column before it on that path, or `_ROOT`.
      closed: bool [B, M], whether the distance is final and the column was scanned.
      nearest: int32 [B], the nearest column that is not closed.
      radius: float32 [B], its distance.
      row: int32 [B], the row that holds it, `_FREE` where the search is over.
    """

    distance: tf.Tensor
    previous: tf.Tensor
    closed: tf.Tensor
    nearest: tf.Tensor
    radius: tf.Tensor
    row: tf.Tensor


def solve_assignment(cost: tf.Tensor, row_is_real: tf.Tensor) -> tf.Tensor:
    """Assigns real rows to columns at the least total cost.

    With more real rows than columns, every column is used and the rows left over are those that
    make the total the smallest.

    Args:
      cost: float32 [B, N, Q]; finite in real rows. No gradient flows through it.
      row_is_real: bool [B, N].

    Returns:
      int32 [B, N], the column of each row; -1 in rows that are not real or are left over.
    """
    cost = tf.where(row_is_real[..., tf.newaxis], tf.stop_gradient(cost), 0.0)
    _, num_rows, num_columns = cost.shape.as_list()
    if num_rows > num_columns:
        cost = _with_overflow_column(cost)
    holder, waiting, num_waiting = _first_choices(cost, row_is_real, num_columns)
    max_waiting = tf.reduce_max(num_waiting)

    def place_next_row(
        index: tf.Tensor, prices: tf.Tensor, holder: tf.Tensor
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        row = tf.gather(waiting, index, axis=1)
        active = index < num_waiting
        search = _search(cost, prices, holder, row, active)
        gain = search.distance - search.radius[:, tf.newaxis]
        prices += tf.where(search.closed, gain, 0.0)
        holder = _augment(holder, search, row, active)
        # The overflow column takes any number of rows: it stays free for the next one.
        holder = _keep_overflow_free(holder, num_columns)
        return index + 1, prices, holder

    _, _, holder = tf.while_loop(
        lambda index, *_: index < max_waiting,
        place_next_row,
        (tf.constant(0), tf.zeros_like(cost[:, 0, :]), holder),
    )
    return _column_of_row(holder[:, :num_columns], num_rows)


def _with_overflow_column(cost: tf.Tensor) -> tf.Tensor:
    """Appends a column for rows left over, dearer than any other: [B, N, Q] -> [B, N, Q+1].

    It costs every row the same, so it does not change which rows are the best to keep; and it is of
    the same magnitude as the costs, so it costs no precision.
    """
    highest = tf.reduce_max(cost, axis=(1, 2), keepdims=True)
    lowest = tf.reduce_min(cost, axis=(1, 2), keepdims=True)
    overflow = tf.broadcast_to(2.0 * highest - lowest + 1.0, tf.shape(cost[..., :1]))
    return tf.concat([cost, overflow], axis=-1)


def _keep_overflow_free(holder: tf.Tensor, num_columns: int) -> tf.Tensor:
    if holder.shape[1] == num_columns:
        return holder
    return tf.where(tf.range(num_columns + 1) == num_columns, _FREE, holder)


def _first_choices(
    cost: tf.Tensor, row_is_real: tf.Tensor, num_columns: int
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gives every column to the first row that likes it best, which is optimal at price 0.

    Returns:
      holder int32 [B, M]; waiting int32 [B, N], the rows without a column come first, in order;
      num_waiting int32 [B].
    """
    num_rows = cost.shape[1]
    rows = tf.range(num_rows)
    choice = tf.argmin(cost, axis=-1, output_type=tf.int32)
    # [B, N, M]: row likes column best. Overflow is never the best of a row.
    likes = tf.one_hot(tf.where(row_is_real, choice, -1), cost.shape[2], True, False, dtype=tf.bool)
    first = tf.reduce_min(tf.where(likes, rows[:, tf.newaxis], num_rows), axis=1)
    holder = tf.where(first < num_rows, first, _FREE)
    holder = _keep_overflow_free(holder, num_columns)
    is_waiting = row_is_real & (tf.gather(holder, choice, batch_dims=1) != rows)
    order = tf.where(is_waiting, rows, rows + num_rows)
    waiting = tf.sort(order, axis=-1) % num_rows
    return holder, waiting, tf.reduce_sum(tf.cast(is_waiting, tf.int32), axis=-1)


def _search(
    cost: tf.Tensor, prices: tf.Tensor, holder: tf.Tensor, row: tf.Tensor, active: tf.Tensor
) -> _Search:
    """Finds the shortest path from `row` to a free column, in every active batch element.

    Args:
      cost: float32 [B, N, M].
      prices: float32 [B, M], dual variables of the columns.
      holder: int32 [B, M].
      row: int32 [B].
      active: bool [B].
    """
    distance = tf.gather(cost, row, batch_dims=1) - prices
    nearest = tf.argmin(distance, axis=-1, output_type=tf.int32)
    start = _Search(
        distance=distance,
        previous=tf.fill(tf.shape(distance), _ROOT),
        closed=tf.zeros_like(distance, dtype=tf.bool),
        nearest=nearest,
        radius=tf.gather(distance, nearest, batch_dims=1),
        row=tf.where(active, tf.gather(holder, nearest, batch_dims=1), _FREE),
    )

    def scan(*state: tf.Tensor) -> _Search:
        search = _Search(*state)
        searching = search.row > _FREE
        here = tf.one_hot(search.nearest, cost.shape[2], True, False, dtype=tf.bool)
        closed = search.closed | (here & searching[:, tf.newaxis])
        onward = tf.gather(cost, tf.maximum(search.row, 0), batch_dims=1) - prices
        # The edge back to `nearest` is tight; where the search is over nothing gets nearer.
        detour = search.radius - tf.gather(onward, search.nearest, batch_dims=1)
        detour = tf.where(searching, detour, np.inf)
        through = tf.where(closed, np.inf, onward + detour[:, tf.newaxis])
        nearer = through < search.distance
        distance = tf.where(nearer, through, search.distance)
        open_distance = tf.where(closed, np.inf, distance)
        nearest = tf.argmin(open_distance, axis=-1, output_type=tf.int32)
        return _Search(
            distance=distance,
            previous=tf.where(nearer, search.nearest[:, tf.newaxis], search.previous),
            closed=closed,
            nearest=nearest,
            radius=tf.gather(open_distance, nearest, batch_dims=1),
            row=tf.where(searching, tf.gather(holder, nearest, batch_dims=1), _FREE),
        )

    # Every scan closes a column, so the limit only matters where costs are not numbers.
    return _Search(
        *tf.while_loop(
            lambda *state: tf.reduce_any(_Search(*state).row > _FREE),
            scan,
            start,
            maximum_iterations=cost.shape[2],
        )
    )


def _augment(holder: tf.Tensor, search: _Search, row: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
    """Shifts every row on the path to the next column of the path; `row` gets the first one.

    Args:
      holder: int32 [B, M], before.
      search: the finished search, whose `nearest` is the free column at the end of the path.
      row: int32 [B], where the path begins.
      active: bool [B].

    Returns:
      int32 [B, M].
    """
    num_columns = holder.shape[1]

    def shift(column: tf.Tensor, holder: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        previous = tf.gather(search.previous, tf.maximum(column, 0), batch_dims=1)
        mover = tf.gather(holder, tf.maximum(previous, 0), batch_dims=1)
        mover = tf.where(previous == _ROOT, row, mover)
        # A one-hot of a negative column is empty: finished batch elements stay as they are.
        here = tf.one_hot(column, num_columns, True, False, dtype=tf.bool)
        holder = tf.where(here, mover[:, tf.newaxis], holder)
        return tf.where(column < 0, column, previous), holder

    _, holder = tf.while_loop(
        lambda column, _: tf.reduce_any(column >= 0),
        shift,
        (tf.where(active, search.nearest, -1), holder),
        maximum_iterations=num_columns,
    )
    return holder


def _column_of_row(holder: tf.Tensor, num_rows: int) -> tf.Tensor:
    """Inverts `holder` int32 [B, Q] to int32 [B, N], -1 for rows that hold no column."""
    holds = holder[:, tf.newaxis, :] == tf.range(num_rows)[:, tf.newaxis]
    return tf.reduce_max(tf.where(holds, tf.range(holder.shape[1]), -1), axis=-1)

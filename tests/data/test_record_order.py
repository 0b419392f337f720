from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import record_order


def ids(count, *, total, seed=3, excluded=None, start=0):
    def at(position):
        return record_order.shuffled_id(position, total=total, seed=seed, excluded=excluded or {})

    positions = tf.range(start, start + count, dtype=tf.int64)
    return tf.function(lambda: tf.map_fn(at, positions))().numpy().tolist()


@pytest.mark.parametrize("total", [1, 2, 3, 7, 64, 100])
def test_every_epoch_is_a_permutation(total):
    epochs = np.reshape(ids(4 * total, total=total), [4, total])
    for epoch in epochs:
        assert sorted(epoch) == list(range(total))
    if total > 6:
        assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_order_is_the_same_in_every_environment():
    """Written down once: a resumed run may meet another version of TensorFlow."""
    assert ids(10, total=10) == [5, 7, 8, 4, 2, 3, 9, 1, 6, 0]
    assert ids(3, total=118_287, seed=-1, start=10**9) == [44717, 66039, 19830]


def test_any_position_alone():
    whole = ids(40, total=11)
    assert ids(5, total=11, start=33) == whole[33:38]


def test_seeds_differ_in_every_bit():
    """The permutation by itself looks only at the low bits of its key."""
    orders = [tuple(ids(50, total=50, seed=seed)) for seed in (0, 1, 256, 2**16, 2**32, -1)]
    assert len(set(orders)) == len(orders)


def test_epochs_are_random():
    """Each id is at each place about equally often, and neighbours are not tied."""
    total, epochs = 6, 1200
    orders = np.reshape(ids(total * epochs, total=total), [epochs, total])
    for place in range(total):
        counts = np.bincount(orders[:, place], minlength=total)
        assert abs(counts / (epochs / total) - 1).max() < 0.3  # 4.6 standard deviations
    follows = np.bincount((orders[:, 1:] - orders[:, :-1]).ravel() % total, minlength=total)
    assert abs(follows[1:] / follows[1:].mean() - 1).max() < 0.15
    assert len({tuple(order) for order in orders}) > 0.75 * 720


def test_epochs_of_many_records_are_not_alike():
    total = 3000
    first, second = np.reshape(ids(2 * total, total=total), [2, total])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.08
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.08


def test_left_out_records_are_replaced_by_the_next():
    total = 8
    plain = ids(3 * total + 8, total=total)
    found = ids(3 * total, total=total, excluded={2: 0, 5: 0})

    def next_allowed(position):
        return next(image_id for image_id in plain[position:] if image_id not in (2, 5))

    assert found == [next_allowed(position) for position in range(3 * total)]


def test_records_are_left_out_from_a_position_on():
    total = 8
    plain, found = ids(24, total=total), ids(24, total=total, excluded={2: 10})
    assert found[:10] == plain[:10]
    assert 2 in found[:10] and 2 not in found[10:]
    assert found[10:] == ids(14, total=total, excluded={2: 0}, start=10)


def test_all_but_one_left_out():
    assert set(ids(20, total=4, excluded=dict.fromkeys([0, 1, 3], 0))) == {2}

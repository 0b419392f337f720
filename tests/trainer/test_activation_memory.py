from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.layers.recompute import recompute
from trainer.activation_memory import estimate_activations, find_peak

SIZE = 33
MAP = 4 * 2 * SIZE * SIZE * 8  # A float32 map of 8 channels for a batch of 2.


def test_a_result_lives_until_its_last_reader():
    with tf.Graph().as_default() as graph:
        start = tf.compat.v1.placeholder(tf.float32, [10])
        first = tf.exp(start)  # 40 bytes
        second = tf.reshape(tf.exp(first), [5, 2])  # 40; the reshaped one is the same
        third = tf.concat([second, second, second], 0)  # 120, while the second is still alive
        end = tf.reduce_sum(third)  # 4
    operations = graph.get_operations()
    assert find_peak(operations, excluded=[]) == 160
    assert find_peak(operations, excluded=[second]) == 120 + 4
    assert find_peak(operations, excluded=[second, third]) == 40
    assert end.shape == ()


class _Stack(tf.keras.Model):
    """Blocks of four steps, each of which the backward pass needs the result of."""

    def __init__(self, blocks: int, again: bool) -> None:
        super().__init__()
        self.scale = self.add_weight(name="scale", shape=[8], initializer="ones")
        self.blocks = [_Block() for _ in range(blocks)]
        if again:
            for block in self.blocks:
                recompute(block, compiled=False)
        self(tf.zeros([1, 2, 2, 3]))

    def call(self, images, training=False):
        features = images[..., :1] * self.scale
        for block in self.blocks:
            features = block(features, training=training)
        return features


class _Block(tf.keras.layers.Layer):
    def call(self, inputs, training=False):
        for _ in range(4):
            inputs = tf.sigmoid(inputs)
        return inputs


def _maps(blocks, again=False, batch_size=2):
    model = _Stack(blocks, again)
    return estimate_activations(model, batch_size=batch_size, crop=(SIZE, SIZE)) / MAP


def test_all_results_are_kept_but_not_of_recomputed_layers():
    for blocks in (4, 8):
        kept, again = _maps(blocks), _maps(blocks, again=True)
        # All results, and a gradient; or the input of every block, and the results of one.
        assert kept == pytest.approx(4 * blocks + 2, abs=1.5)
        assert again == pytest.approx(blocks + 6, abs=2.5)


def test_it_grows_with_the_batch():
    assert _maps(4, batch_size=4) == pytest.approx(2 * _maps(4), rel=0.01)

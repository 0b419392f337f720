"""Prints whether two replicas normalise like one with the whole batch; run in its own process."""

from __future__ import annotations

import numpy as np

import kmax_tf  # noqa: F401

import tensorflow as tf  # isort: skip

from kmax_tf.layers.norm import BatchNorm, NormSettings

SETTINGS = NormSettings(momentum=0.9, epsilon=1e-3, sync=True)


def main() -> None:
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    values = np.random.default_rng(0).normal(3.0, 2.0, (4, 3, 2, 5)).astype(np.float32)
    for axes in ((-1,), (1,), ()):
        alone = BatchNorm(SETTINGS, axes=axes)
        with strategy.scope():
            layer = BatchNorm(SETTINGS, axes=axes)
            layer.build(values.shape)

        def run(layer: BatchNorm, inputs: tf.Tensor) -> tuple:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
                loss = tf.reduce_sum(outputs**3)
            return outputs, tape.gradient(loss, inputs)

        expected = run(alone, tf.constant(values))
        shards = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[context.replica_id_in_sync_group * 2 :][:2])
        )
        replicated = tf.function(lambda shard: strategy.run(run, (layer, shard)))(shards)  # noqa: B023
        for result, wanted in zip(replicated, expected):
            joined = np.concatenate(strategy.experimental_local_results(result))
            np.testing.assert_allclose(joined, wanted, rtol=1e-4, atol=1e-4)
        for name in ("moving_mean", "moving_variance"):
            np.testing.assert_allclose(
                getattr(layer, name).numpy(), getattr(alone, name).numpy(), rtol=1e-5
            )
    print("synchronised")


if __name__ == "__main__":
    main()

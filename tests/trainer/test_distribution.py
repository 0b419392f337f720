from __future__ import annotations

import pytest
import tensorflow as tf

from tests.worker_group import free_addresses
from trainer import distribution
from trainer.cluster import Cluster

VISIBLE = len(tf.config.list_physical_devices("GPU"))


def test_cpu_is_the_default_strategy():
    strategy = distribution.create_strategy(num_gpus=0, tpu=None)
    assert strategy is tf.distribute.get_strategy()
    assert distribution.describe(strategy) == "CPU"
    dataset = tf.data.Dataset.range(3)
    assert distribution.distribute(lambda share: dataset, strategy) is dataset


@pytest.mark.parametrize("count", [-1, VISIBLE + 1])
def test_gpus_that_are_not_there(count):
    with pytest.raises(ValueError, match=r"`--num_gpus` must be in 0\.\."):
        distribution.create_strategy(num_gpus=count, tpu=None)


def test_devices_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        distribution.create_strategy(num_gpus=1, tpu="local")


def test_a_batch_must_split_evenly(mirrored_strategy):
    replicas = mirrored_strategy.num_replicas_in_sync
    distribution.require_divisible(4, replicas, "train_dataset_options.batch_size")
    with pytest.raises(ValueError, match=r"`train_dataset_options.batch_size` .*2.*received 3"):
        distribution.require_divisible(3, replicas, "train_dataset_options.batch_size")


@pytest.mark.parametrize(
    ("device", "allowed"),
    [("CPU", False), ("TPU, 8 replicas", False), ("1 GPU", True), ("2 GPUs", True)],
)
def test_float16_needs_gpus(monkeypatch, device, allowed):
    monkeypatch.setattr(distribution, "describe", lambda strategy: device)
    strategy = tf.distribute.get_strategy()
    if allowed:
        distribution.require_float16(strategy)
    else:
        with pytest.raises(ValueError, match=r"`trainer_options.precision` .* FLOAT16 on [CT]PU:"):
            distribution.require_float16(strategy)


def test_replicas_get_their_shares(mirrored_strategy):
    asked = []

    def make(share):
        asked.append(share)
        return tf.data.Dataset.range(8).batch(4, drop_remainder=True)

    batch = next(iter(distribution.distribute(make, mirrored_strategy)))
    shares = mirrored_strategy.experimental_local_results(batch)
    assert [share.numpy().tolist() for share in shares] == [[0, 1], [2, 3]]
    assert all(share.shape == [2] for share in shares)
    assert asked == [(0, 1)]  # Two devices, one host.


def test_only_the_cpu_is_made_deterministic(determinism, monkeypatch):
    strategy = distribution.create_strategy(num_gpus=0, tpu=None)
    distribution.make_reproducible(strategy)
    assert determinism == [True]
    monkeypatch.setattr(distribution, "is_cpu", lambda strategy: False)
    distribution.make_reproducible(strategy)
    assert determinism == [True]


def test_workers_and_a_tpu_exclude_each_other():
    with pytest.raises(ValueError, match=r"`--tpu` x and `--workers` .* a:1,b:2 exclude each"):
        distribution.create_strategy(num_gpus=None, tpu="x", cluster=Cluster(("a:1", "b:2"), 0))


def test_replicas_are_counted_without_the_devices():
    cluster = Cluster(("a:1", "b:2", "c:3", "d:4"), 0)
    assert distribution.count_replicas(num_gpus=0, cluster=None) == 1
    assert distribution.count_replicas(num_gpus=8, cluster=cluster) == 32
    assert distribution.count_replicas(num_gpus=None, cluster=cluster) == 4 * max(VISIBLE, 1)


def test_a_tpu_that_does_not_answer_is_named():
    """TensorFlow itself would wait for it without end."""
    (address,) = free_addresses(1)
    with pytest.raises(ValueError, match=rf"`--tpu` grpc://{address}: .*{address} does not answer"):
        distribution.create_strategy(num_gpus=None, tpu=f"grpc://{address}")

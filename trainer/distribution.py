"""Where a run computes: one CPU, one or several GPUs, a TPU."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf


def create_strategy(*, num_gpus: Optional[int], tpu: Optional[str]) -> tf.distribute.Strategy:
    """The strategy that the flags ask for.

    Args:
      num_gpus: None = all that are visible, 0 = CPU, else the first `num_gpus` GPUs.
      tpu: name or address of a TPU, `local` for one in this machine; None = no TPU.

    Raises:
      ValueError: more GPUs asked for than visible, both kinds of device asked for, or no such TPU.
    """
    if tpu is not None:
        if num_gpus:
            raise ValueError(f"`--tpu` {tpu} and `--num_gpus` {num_gpus} exclude each other.")
        return _create_tpu_strategy(tpu)
    visible = tf.config.list_physical_devices("GPU")
    count = len(visible) if num_gpus is None else num_gpus
    if count < 0 or count > len(visible):
        raise ValueError(
            f"`--num_gpus` must be in 0..{len(visible)} (the GPUs that TensorFlow sees); received "
            f"{count}."
        )
    for gpu in visible[:count]:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.set_visible_devices(visible[:count], "GPU")
    if count == 0:
        return tf.distribute.get_strategy()
    if count == 1:
        # Against the default strategy it also copies the next batch to the GPU ahead of time.
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(count)])


def describe(strategy: tf.distribute.Strategy) -> str:
    """What the strategy computes on, for one line of output."""
    replicas = strategy.num_replicas_in_sync
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return f"TPU, {replicas} replicas"
    gpus = len(tf.config.get_visible_devices("GPU"))
    if gpus:
        return f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return "CPU"


def count_processes(strategy: tf.distribute.Strategy) -> int:
    """The number of processes that make every step together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return len(cluster.get("chief", ())) + len(cluster.get("worker", ())) or 1


def make_reproducible(strategy: tf.distribute.Strategy) -> None:
    """On a CPU: the same seed gives the same numbers, whatever else the machine does.

    There it costs nothing measurable. On GPUs it would cost speed, and operations without a
    deterministic form would fail, so runs on GPUs agree only to rounding.
    """
    if describe(strategy) == "CPU":
        tf.config.experimental.enable_op_determinism()


def require_float16(strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError unless the strategy computes on GPUs: nothing else is quick in float16."""
    device = describe(strategy)
    if "GPU" not in device:
        raise ValueError(
            "`trainer_options.precision` FLOAT16 needs a GPU; received FLOAT16 on "
            f"{device.partition(',')[0]}: choose FLOAT32 or BFLOAT16."
        )


def require_divisible(batch_size: int, strategy: tf.distribute.Strategy, field: str) -> None:
    """Raises ValueError when a global batch cannot be split evenly over the replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"`{field}` must be a multiple of the number of devices ({replicas}); received "
            f"{batch_size}."
        )


def distribute(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> tf.data.Dataset:
    """Splits the global batches of `dataset` over the replicas."""
    if strategy is tf.distribute.get_strategy():  # The default: nothing to split.
        return dataset
    return strategy.experimental_distribute_dataset(dataset)


def _create_tpu_strategy(name: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"`--tpu` {name}: no such TPU could be started ({reason}).") from None

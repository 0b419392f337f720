"""Where a run computes: one CPU, one or several GPUs, several machines, a TPU."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

import tensorflow as tf

from trainer.cluster import Cluster

_WORKER = "worker"

MakeDataset = Callable[[Tuple[int, int]], tf.data.Dataset]
"""(index, count) of a share -> endless batches of that share of every global batch."""


def create_strategy(
    *, num_gpus: Optional[int], tpu: Optional[str], cluster: Optional[Cluster] = None
) -> tf.distribute.Strategy:
    """The strategy that the flags ask for.

    With a cluster it returns once all workers have come, and TensorFlow must not have computed
    anything before.

    Args:
      num_gpus: of this machine: None = all that are visible, 0 = CPU, else the first `num_gpus`.
      tpu: name or address of a TPU, `local` for one in this machine; None = no TPU.
      cluster: the workers; None = this process is alone.

    Raises:
      ValueError: more GPUs asked for than visible, both kinds of device asked for, or no such TPU.
    """
    if tpu is not None and cluster is not None:
        raise ValueError(
            f"`--tpu` {tpu} and `--workers` (or TF_CONFIG) {','.join(cluster.addresses)} exclude "
            "each other: one process drives all hosts of a TPU."
        )
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
    if cluster is not None:
        return tf.distribute.MultiWorkerMirroredStrategy(_resolve(cluster))
    if count == 0:
        return tf.distribute.get_strategy()
    if count == 1:
        # Against the default strategy it also copies the next batch to the GPU ahead of time.
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(count)])


def describe(strategy: tf.distribute.Strategy) -> str:
    """What the strategy computes on, for one line of output."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return f"TPU, {strategy.num_replicas_in_sync} replicas"
    gpus = len(tf.config.get_visible_devices("GPU"))
    devices = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "CPU"
    workers = count_processes(strategy)
    return f"{devices} on each of {workers} workers" if workers > 1 else devices


def is_cpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether it computes on nothing but CPUs."""
    on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return not on_tpu and not tf.config.get_visible_devices("GPU")


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
    if is_cpu(strategy):
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


def distribute(make_dataset: MakeDataset, strategy: tf.distribute.Strategy) -> tf.data.Dataset:
    """The global batches, split over the replicas; each host makes its own share alone.

    Args:
      make_dataset: called once per host: with `strategy`, the hosts are those of the workers or of
        the TPU.
      strategy: of the run.
    """
    if strategy is tf.distribute.get_strategy():  # The default: nothing to split.
        return make_dataset((0, 1))

    def make_for_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        hosts = context.num_input_pipelines
        dataset = make_dataset((context.input_pipeline_id, hosts))
        replicas = context.num_replicas_in_sync // hosts
        if replicas > 1:
            sizes = {spec.shape[0] for spec in tf.nest.flatten(dataset.element_spec)}
            dataset = dataset.rebatch(sizes.pop() // replicas, drop_remainder=True)
        # Otherwise the workers would ask each other before every step whether there is one.
        return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return strategy.distribute_datasets_from_function(make_for_host)


def _resolve(cluster: Cluster) -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({_WORKER: list(cluster.addresses)}),
        task_type=_WORKER,
        task_id=cluster.index,
        rpc_layer="grpc",
    )


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

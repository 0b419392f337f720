"""Where a run computes: one CPU, one or several GPUs, several machines, a TPU."""

from __future__ import annotations

import socket
from typing import Callable, Optional, Tuple

import tensorflow as tf

from trainer.cluster import Cluster, split_address

_WORKER = "worker"

_TPU_ANSWER_SECONDS = 10.0
"""A host of a TPU that does not answer by then is not there; TensorFlow would wait without end."""

MakeDataset = Callable[[Tuple[int, int]], tf.data.Dataset]
"""(index, count) of a share -> endless batches of that share of every global batch."""


def create_strategy(
    *, num_gpus: Optional[int], tpu: Optional[str], cluster: Optional[Cluster] = None
) -> tf.distribute.Strategy:
    """The strategy that the flags ask for, as `require_devices` has them.

    With a cluster it returns once all workers have come, and TensorFlow must not have computed
    anything before.

    Args:
      num_gpus: of this machine: None = all that are visible, 0 = CPU, else the first `num_gpus`.
      tpu: name or address of a TPU, `local` for one in this machine; None = no TPU.
      cluster: the workers; None = this process is alone.

    Raises:
      ValueError: more GPUs asked for than visible, both kinds of device asked for, or no such TPU.
    """
    require_devices(num_gpus=num_gpus, tpu=tpu, cluster=cluster)
    if tpu is not None:
        return _create_tpu_strategy(tpu)
    visible = tf.config.list_physical_devices("GPU")
    count = len(visible) if num_gpus is None else num_gpus
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


def require_devices(
    *, num_gpus: Optional[int], tpu: Optional[str], cluster: Optional[Cluster]
) -> None:
    """Raises ValueError where the flags exclude each other or ask for GPUs that are not there.

    Nothing is started by it: a worker can look before it waits for the others.
    """
    if tpu is not None and cluster is not None:
        raise ValueError(
            f"`--tpu` {tpu} and `--workers` (or TF_CONFIG) {','.join(cluster.addresses)} exclude "
            "each other: one process drives all hosts of a TPU."
        )
    if tpu is not None and num_gpus:
        raise ValueError(f"`--tpu` {tpu} and `--num_gpus` {num_gpus} exclude each other.")
    visible = len(tf.config.list_physical_devices("GPU"))
    if num_gpus is not None and not 0 <= num_gpus <= visible:
        raise ValueError(
            f"`--num_gpus` must be in 0..{visible} (the GPUs that TensorFlow sees); received "
            f"{num_gpus}."
        )


def count_replicas(*, num_gpus: Optional[int], cluster: Optional[Cluster]) -> int:
    """The replicas that the flags ask for, where every worker has the GPUs of this machine.

    Unlike the strategy it needs neither the other workers nor, with `num_gpus`, the GPUs.
    """
    visible = len(tf.config.list_physical_devices("GPU"))
    workers = 1 if cluster is None else len(cluster.addresses)
    return max(visible if num_gpus is None else num_gpus, 1) * workers


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


def require_divisible(batch_size: int, num_replicas: int, field: str) -> None:
    """Raises ValueError when a global batch cannot be split evenly over the replicas."""
    if batch_size % num_replicas:
        raise ValueError(
            f"`{field}` must be a multiple of the number of devices ({num_replicas}); received "
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
            _require_answers(resolver.cluster_spec())
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"`--tpu` {name}: no such TPU could be started ({reason}).") from None


def _require_answers(hosts: tf.train.ClusterSpec) -> None:
    """Raises ValueError where nothing listens at an address; the message is a clause."""
    for address in (address for job in hosts.jobs for address in hosts.job_tasks(job)):
        try:
            socket.create_connection(split_address(address), _TPU_ANSWER_SECONDS).close()
        except OSError as error:
            raise ValueError(f"{address} does not answer: {error.strerror or error}") from None

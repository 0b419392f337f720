"""Whether XLA compiles whole functions: `trainer_options.use_xla` and where a run computes."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from protos import training_pb2


def jit_compile_of(
    options: training_pb2.TrainerOptions, strategy: tf.distribute.Strategy
) -> Optional[bool]:
    """What `tf.function` is to be given as `jit_compile` for a training step or a network.

    Args:
      options: read is `use_xla`.
      strategy: where it runs.

    Returns:
      True, or None where it is left to TensorFlow: `use_xla` is off, or the device is a TPU, which
      compiles everything anyway.

    Raises:
      ValueError: several replicas share the work, which is not supported: in one process their
        variables live on other devices than the compiled function, and of several processes the
        sums over all of them cannot be compiled on CPUs (on GPUs it was not tried).
    """
    if not options.use_xla or isinstance(strategy, tf.distribute.TPUStrategy):
        return None
    if strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "`trainer_options.use_xla` needs one device and one process: give `--num_gpus=1` and "
            "no `--workers`, or leave the field false; received `use_xla` true with "
            f"{strategy.num_replicas_in_sync} devices."
        )
    return True

"""Gradient accumulation: a batch is worked through in parts, one after the other."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from kmax_tf.structures import Features, Targets


class BatchGradients(NamedTuple):
    """What the images of a replica say about the loss of the global batch.

    Attributes:
      gradients: one per trained variable, float32 or None, of the images' part of the loss (times
        the loss scale, where there is one).
      sums: float32 [terms + diagnostics], over the images.
      image_losses: float32 [b], the total loss of each image.
    """

    gradients: Sequence[Optional[tf.Tensor]]
    sums: tf.Tensor
    image_losses: tf.Tensor


Compute = Callable[[Features, Targets, tf.Tensor], BatchGradients]
"""(features, targets, seed int32 [2]) -> what is to be added up over all images."""


def require_parts(batch_size: int, parts: int, num_replicas: int) -> None:
    """Raises ValueError where a batch cannot be split into equal parts on all devices."""
    if parts < 1 or batch_size % (parts * num_replicas):
        raise ValueError(
            "`train_dataset_options.batch_size` must be a multiple of "
            "`trainer_options.accumulation_steps` (at least 1) times the number of devices; "
            f"received {batch_size}, {parts} and {num_replicas}."
        )


def accumulate(
    compute: Compute, features: Features, targets: Targets, seed: tf.Tensor, *, parts: int
) -> BatchGradients:
    """Adds up what `compute` returns for consecutive parts of the images.

    Gradients and sums are those of all images at once. What depends on the images of a call
    together is another matter: batch norms see one part at a time, and move their averages in each;
    drop path and pixel sampling draw from a seed of the part. No more than one part is in memory at
    a time, beside the sum of the gradients.

    Args:
      compute: called in replica context.
      features: of b images.
      targets: of the same images.
      seed: int32 [2]; one part is given it as it is.
      parts: divides b.
    """
    if parts == 1:
        return compute(features, targets, seed)
    split = tf.nest.map_structure(
        lambda tensor: tf.reshape(tensor, [parts, tensor.shape[0] // parts, *tensor.shape[1:]]),
        {"features": features, "targets": targets},
    )
    seeds = tf.stack([tf.random.fold_in(seed, part, alg="philox") for part in range(parts)])
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        return _one_after_the_other(compute, split, seeds)
    return _in_a_loop(compute, split, seeds)


def _in_a_loop(compute: Compute, split: Dict[str, Any], seeds: tf.Tensor) -> BatchGradients:
    """The graph holds the step once."""
    parts = seeds.shape[0]

    # Traced before the loop, which has to know the shapes of the results.
    @tf.function(autograph=False)
    def compute_part(index: tf.Tensor) -> BatchGradients:
        part = tf.nest.map_structure(lambda tensor: tensor[index], split)
        batch = compute(part["features"], part["targets"], seeds[index])
        return batch._replace(gradients=_dense(batch.gradients))

    traced = compute_part.get_concrete_function(tf.TensorSpec([], tf.int32))
    zeros = tf.nest.map_structure(
        lambda spec: None if spec is None else tf.zeros(spec.shape, spec.dtype),
        traced.structured_outputs,
    )
    present = [gradient for gradient in zeros.gradients if gradient is not None]
    losses = tf.zeros([parts, *zeros.image_losses.shape])

    def body(
        index: tf.Tensor, sums: tf.Tensor, losses: tf.Tensor, *gradients: tf.Tensor
    ) -> Sequence[tf.Tensor]:
        batch = traced(index)
        fresh = [gradient for gradient in batch.gradients if gradient is not None]
        own_row = tf.range(parts)[:, tf.newaxis] == index
        return (
            index + 1,
            sums + batch.sums,
            tf.where(own_row, batch.image_losses, losses),
            *(total + gradient for total, gradient in zip(gradients, fresh)),
        )

    _, sums, losses, *totals = tf.while_loop(
        lambda index, *unused: index < parts,
        body,
        (tf.constant(0), zeros.sums, losses, *present),
        parallel_iterations=1,
        maximum_iterations=parts,
    )
    summed = iter(totals)
    return BatchGradients(
        gradients=[None if zero is None else next(summed) for zero in zeros.gradients],
        sums=sums,
        image_losses=tf.reshape(losses, [-1]),
    )


def _one_after_the_other(
    compute: Compute, split: Dict[str, Any], seeds: tf.Tensor
) -> BatchGradients:
    """The graph holds the step once per part: replicas cannot speak with each other in a loop."""
    batches: List[BatchGradients] = []
    for index in range(seeds.shape[0]):
        done = [tensor for tensor in tf.nest.flatten(batches[-1:]) if tensor is not None]
        with tf.control_dependencies(done):
            part = tf.nest.map_structure(lambda tensor: tf.identity(tensor[index]), split)  # noqa: B023
            batch = compute(part["features"], part["targets"], seeds[index])
            batch = batch._replace(gradients=_dense(batch.gradients))
            if batches:
                before = batches[-1]
                batch = BatchGradients(
                    gradients=[
                        None if fresh is None else total + fresh
                        for total, fresh in zip(before.gradients, batch.gradients)
                    ],
                    sums=before.sums + batch.sums,
                    image_losses=tf.concat([before.image_losses, batch.image_losses], 0),
                )
            batches.append(batch)
    return batches[-1]


def _dense(gradients: Sequence[Any]) -> List[Optional[tf.Tensor]]:
    return [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]

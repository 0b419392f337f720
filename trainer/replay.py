"""Makes a faulty step again, from its dump."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import tensorflow as tf

from kmax_tf.build.compilation import jit_compile_of
from kmax_tf.layers.random_stream import random_stream
from trainer import assembly, distribution, managers
from trainer.checkpoint_recovery import describe_damage
from trainer.checkpointing import FittingCheckpoint
from trainer.fault_dump import Dump
from trainer.loss_scale import build_loss_scale
from trainer.numeric_fault import StepReport
from trainer.quick_start import QuickStart
from trainer.solver import build_optimizer
from trainer.train_step import own_seed


class Replay(NamedTuple):
    """A step that was made again.

    Attributes:
      report: what was seen now.
      reproduced: whether the same values are at fault as then.
      bit_equal: whether all values are the same to the last bit.
      origin: where the first tensor of the forward pass that is not finite appears; None = not
        looked for, or nowhere.
    """

    report: StepReport
    reproduced: bool
    bit_equal: bool
    origin: Optional[str]


def replay(dump: Dump, *, num_gpus: int, find: bool) -> Replay:
    """Makes the step of `dump` again, on one device; nothing is written.

    Args:
      dump: what to make.
      num_gpus: 0 = CPU, or 1.
      find: whether to look where the first tensor that is not finite appears.

    Raises:
      ValueError: the config of the dump does not fit its checkpoint, or the checkpoint is damaged.
    """
    config = dump.config
    tf.keras.utils.set_random_seed(config.trainer_options.seed % 2**32)
    strategy = distribution.create_strategy(num_gpus=num_gpus, tpu=None)
    distribution.make_reproducible(strategy)
    with strategy.scope():
        model = assembly.build_model(config)
        optimizer = build_optimizer(
            model,
            config.trainer_options.solver_options,
            batch_size=config.train_dataset_options.batch_size,
        )
        loss_scale = build_loss_scale(config.trainer_options)
    trackables: Dict[str, Any] = {"model": model}
    if loss_scale is not None:
        trackables[managers.LOSS_SCALE] = loss_scale.slots
    damage = describe_damage(dump.checkpoint)
    if damage is not None:
        raise ValueError(f"`DUMP`: its checkpoint {dump.checkpoint} is damaged: {damage}.")
    FittingCheckpoint(explain=lambda: "", **trackables).restore(dump.checkpoint)
    origin = _find_origin(dump, model, strategy) if find else None
    step = assembly.build_train_step(
        config,
        model=model,
        optimizer=optimizer,
        global_batch_size=len(dump.report.image_ids),
        loss_scale=loss_scale,
    )
    # The graph of the run, as far as one device goes: what is fused or reordered decides the bits.
    compiled = jit_compile_of(config.trainer_options, strategy)
    make = tf.function(step, autograph=False, jit_compile=True) if compiled else step

    @tf.function(autograph=False)
    def make_step(features: Any, targets: Any, number: tf.Tensor) -> Any:
        return strategy.run(make, args=(features, targets, number))

    number = tf.constant(dump.report.step, tf.int64)
    result = QuickStart(make_step, strategy)(dump.features, dump.targets, number)
    report = StepReport(
        step=dump.report.step,
        values=dict(zip(step.names, result.values.numpy().tolist())),
        image_ids=tuple(result.image_ids.numpy().tolist()),
        image_losses=tuple(result.image_losses.numpy().tolist()),
        gradient_norms=dict(zip(step.gradient_names, result.gradient_norms.numpy().tolist())),
        max_total_loss=step.max_total_loss,
    )
    return Replay(
        report=report,
        reproduced=bool(report.faulty_values())
        and report.faulty_values() == dump.report.faulty_values(),
        bit_equal=_numbers(report) == _numbers(dump.report),
        origin=origin,
    )


def _numbers(report: StepReport) -> Tuple[str, ...]:
    """All numbers as text, in which NaN equals NaN."""
    numbers: List[float] = [*report.values.values(), *report.image_losses]
    return tuple(map(repr, [*numbers, *report.gradient_norms.values()]))


def _find_origin(
    dump: Dump, model: tf.keras.Model, strategy: tf.distribute.Strategy
) -> Optional[str]:
    """The first layer that makes something of finite inputs that is not finite, in words."""
    if not _all_finite(dump.features):
        return "the image itself"
    seed = tf.constant([dump.config.trainer_options.seed & 0x7FFFFFFF, dump.report.step], tf.int32)

    def run_forward() -> None:
        with random_stream(own_seed(seed)):
            model(dump.features["image"], training=True)

    statistics = [variable.numpy() for variable in model.non_trainable_variables]
    with _watched_layers(model) as found:
        strategy.run(run_forward)
    for variable, value in zip(model.non_trainable_variables, statistics):
        variable.assign(value)
    return f"the layer {found[0]}" if found else None


@contextlib.contextmanager
def _watched_layers(model: tf.keras.Model) -> Iterator[List[str]]:
    """Gives the paths of the layers that turn what is finite into what is not, in their order."""
    found: List[str] = []
    layers = list(_layers_by_path(model))

    def watch(path: str, layer: tf.keras.layers.Layer) -> None:
        call = layer.call

        def watched(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            if not _all_finite(result) and _all_finite((arguments, named)):
                found.append(path)
            return result

        layer.call = watched

    for path, layer in layers:
        watch(path, layer)
    try:
        yield found
    finally:
        for _, layer in layers:
            del layer.call


def _layers_by_path(model: tf.keras.Model) -> Iterator[Tuple[str, tf.keras.layers.Layer]]:
    view = tf.train.TrackableView(model)
    seen, queue = {id(model)}, [(model, "")]
    while queue:
        parent, path = queue.pop(0)
        for name, child in view.children(parent).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            queue.append((child, f"{path}{name}/"))
            if isinstance(child, tf.keras.layers.Layer):
                yield f"{path}{name}", child


def _all_finite(values: Any) -> bool:
    tensors = [t for t in tf.nest.flatten(values) if tf.is_tensor(t) and t.dtype.is_floating]
    return all(math.isfinite(float(tf.reduce_sum(tf.cast(t, tf.float32) * 0.0))) for t in tensors)

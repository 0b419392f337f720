"""One training step: forward pass, losses, gradients, a look for faults, update."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from kmax_tf.checkpoints.mapping import variables_by_path
from kmax_tf.layers.random_stream import random_stream
from kmax_tf.structures import Features, Targets
from kmax_tf.tracing import constants_shared
from trainer.accumulation import BatchGradients, accumulate
from trainer.loss_scale import LossScale
from trainer.numeric_fault import GRADIENT_NORM, TOTAL_LOSS
from trainer.optimizers import clipping_factor
from trainer.solver import Optimizer
from trainer.weight_average import WeightAverage

LOSS_SCALE = "loss_scale"
SKIPPED_UPDATES = "skipped_updates"


class StepResult(NamedTuple):
    """What a step reports, per replica.

    Attributes:
      values: float32 [names of `TrainStep.names`], means over the global batch, equal on all
        replicas.
      sound: bool scalar, equal on all replicas; false = a fault, nothing was changed.
      updated: bool scalar, equal on all replicas; only where a loss scale skips an update may it be
        false while `sound` is true.
      image_ids: int64 [b], the replica's images.
      image_losses: float32 [b], the total loss of each.
      gradient_norms: float32 [names of `TrainStep.gradient_names`], of the global batch, equal on
        all replicas.
    """

    values: tf.Tensor
    sound: tf.Tensor
    updated: tf.Tensor
    image_ids: tf.Tensor
    image_losses: tf.Tensor
    gradient_norms: tf.Tensor


class TrainStep:
    """A training step in replica context, to be called inside `strategy.run`.

    The loss is the sum over the images of all replicas divided by the global batch, so its value
    does not depend on how many replicas share the work. Gradients are summed over replicas, then
    measured, then clipped. Where a loss term or the norm is not finite, or the total loss is above
    its limit, no variable that is trained and no slot changes, and the moving statistics, which the
    forward pass has moved by then, are put back.

    With a loss scale (float16) a gradient that overflows by itself is no fault: the update is
    skipped in the same way, the step counts as made (so that the position in the data stays a
    function of the step), `skipped_updates` is 1, and its gradient norm is given as 0, to be left
    out of means.

    Args:
      model: `model(images, training=True) -> ModelOutput`.
      loss: from `build_loss`; its `with_diagnostics` is used.
      optimizer: holds the parameters, in the order of `model.trainable_variables`.
      global_batch_size: images per step over all replicas.
      seed: of everything that the losses draw at random, together with the step.
      clip_norm: the largest global gradient norm, None = no clipping.
      max_total_loss: a mean total loss above it is a fault; 0 = no limit.
      loss_scale: for float16; None = the loss is used as it is.
      accumulation_steps: parts in which a replica works through its images; divides their number.
      average: takes in the weights after each update; None = none is kept.
    """

    def __init__(
        self,
        *,
        model: tf.keras.Model,
        loss: Any,
        optimizer: Optimizer,
        global_batch_size: int,
        seed: int,
        clip_norm: Optional[float],
        max_total_loss: float = 0.0,
        loss_scale: Optional[LossScale] = None,
        accumulation_steps: int = 1,
        average: Optional[WeightAverage] = None,
    ) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._global_batch_size = global_batch_size
        self._seed = seed & 0x7FFFFFFF
        self._clip_norm = clip_norm
        self.max_total_loss = max_total_loss
        self._loss_scale = loss_scale
        self._accumulation_steps = accumulation_steps
        self._average = average
        self.names: Tuple[str, ...] = ()
        self.gradient_names: Tuple[str, ...] = ()

    @constants_shared()
    def __call__(self, features: Features, targets: Targets, step: tf.Tensor) -> StepResult:
        """Runs one step on the replica's share of a batch.

        Args:
          features: image float32 [b, H, W, 3].
          targets: of the same b images.
          step: int64 scalar, the number of steps already made.
        """
        seed = tf.stack([tf.constant(self._seed, tf.int32), tf.cast(step, tf.int32)])
        scale = None if self._loss_scale is None else self._loss_scale.read()
        # A reference to the buffers, not a copy: what moves them later writes into new ones.
        statistics = [
            tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
            for variable in self._model.non_trainable_variables
        ]
        batch = accumulate(
            lambda *part: self._compute_gradients(*part, scale),
            features,
            targets,
            seed,
            parts=self._accumulation_steps,
        )
        gradients = _sum_over_replicas(batch.gradients)
        if self._loss_scale is not None:
            gradients = self._loss_scale.unscale(gradients, scale)
        gradient_norms, norm = self._measure(gradients)
        means = _sum_over_replicas([batch.sums])[0] / self._global_batch_size
        values = tf.concat([means, [norm]], axis=0)
        loss_sound = self._is_sound(means)
        good = loss_sound & tf.math.is_finite(norm)
        with tf.name_scope("optimizer"):
            factor = 1.0
            if self._clip_norm is not None:
                factor = clipping_factor(norm=norm, limit=self._clip_norm)
            self._optimizer.apply(gradients, step, factor=factor, sound=good)
        sound = updated = tf.cond(
            good, lambda: self._follow(step), lambda: self._put_back(statistics)
        )
        if self._loss_scale is not None:
            skipped = self._loss_scale.follow(
                loss_finite=loss_sound, gradient_finite=tf.math.is_finite(norm)
            )
            sound = updated | skipped
            norm = tf.where(skipped, 0.0, norm)
            values = tf.concat([means, [norm, scale, tf.cast(skipped, tf.float32)]], axis=0)
        return StepResult(
            values=values,
            sound=sound,
            updated=updated,
            image_ids=targets["image_id"],
            image_losses=batch.image_losses,
            gradient_norms=gradient_norms,
        )

    def explain_fault(self) -> str:
        """What is to be said of a fault beside its step, terms and images; may be empty."""
        return "" if self._loss_scale is None else self._loss_scale.explain_fault()

    @constants_shared()  # With several parts it is traced into a graph of its own.
    def _compute_gradients(
        self,
        features: Features,
        targets: Targets,
        seed: tf.Tensor,
        scale: Optional[tf.Tensor],
    ) -> BatchGradients:
        """Forward pass, losses and backward pass of the images of a replica, or of some of them.

        Gradients and sums are to be added up over all images of the global batch.

        Args:
          features: image float32 [b, H, W, 3].
          targets: of the same b images.
          seed: int32 [2], of everything that is drawn.
          scale: float32 scalar, factor on the loss; None = 1.
        """
        with tf.GradientTape() as tape:
            with random_stream(own_seed(seed)):
                output = self._model(features["image"], training=True)
            with tf.name_scope("losses"):
                terms, diagnostics = self._loss.with_diagnostics(targets, output, seed=seed)
            loss = tf.reduce_sum(terms["total"]) / self._global_batch_size
            if scale is not None:
                loss *= scale
        gradients = tape.gradient(loss, self._model.trainable_variables)
        return BatchGradients(
            gradients=gradients,
            sums=self._sums(terms, diagnostics),
            image_losses=tf.cast(terms["total"], tf.float32),
        )

    def _sums(self, terms: Dict[str, tf.Tensor], diagnostics: Dict[str, tf.Tensor]) -> tf.Tensor:
        """Sums over images, float32 [terms + diagnostics]; remembers the names of all values."""
        named = {f"loss/{name}": value for name, value in terms.items()}
        named.update(diagnostics)
        of_scale = () if self._loss_scale is None else (LOSS_SCALE, SKIPPED_UPDATES)
        self.names = (*named, GRADIENT_NORM, *of_scale)
        return tf.stack([tf.reduce_sum(tf.cast(v, tf.float32)) for v in named.values()])

    def _measure(self, gradients: Sequence[Optional[tf.Tensor]]) -> Tuple[tf.Tensor, tf.Tensor]:
        """Norms of all gradients, float32 [V], and of all together; remembers whose they are.

        As `tf.linalg.global_norm`, of which those of the single gradients are a step.
        """
        paths = {id(variable): path for path, variable in variables_by_path(self._model).items()}
        self.gradient_names = tuple(
            paths[id(variable)]
            for variable, gradient in zip(self._model.trainable_variables, gradients)
            if gradient is not None
        )
        halves = tf.stack([tf.nn.l2_loss(_values(g)) for g in gradients if g is not None])
        return tf.sqrt(halves * 2.0), tf.sqrt(tf.reduce_sum(halves) * 2.0)

    def _is_sound(self, means: tf.Tensor) -> tf.Tensor:
        """Whether all terms are finite and the total loss is within its limit, bool scalar."""
        finite = tf.reduce_all(tf.math.is_finite(means))
        if not self.max_total_loss:
            return finite
        return finite & (means[self.names.index(TOTAL_LOSS)] <= self.max_total_loss)

    def _put_back(self, statistics: Sequence[tf.Tensor]) -> tf.Tensor:
        """Gives what is not trained the values from before the step; returns False.

        Every replica has its own statistics, hence the raw handles, which are the local ones.
        """
        for variable, value in zip(self._model.non_trainable_variables, statistics):
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
        return tf.constant(False)

    def _follow(self, step: tf.Tensor) -> tf.Tensor:
        """What comes after an update; returns True."""
        if self._average is not None:
            with tf.name_scope("weight_average"):
                self._average.update(step)
        return tf.constant(True)


def _values(gradient: Any) -> tf.Tensor:
    """The numbers of a gradient, which may be one of a few rows."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def own_seed(seed: tf.Tensor) -> tf.Tensor:
    """A seed, int32 [2], for the replica: images on different replicas get different masks."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.random.fold_in(seed, replica, alg="philox")


def _sum_over_replicas(tensors: Sequence[Optional[tf.Tensor]]) -> List[Optional[tf.Tensor]]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return list(tensors)
    present = [t for t in tensors if t is not None]
    summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, present))
    return [None if t is None else next(summed) for t in tensors]

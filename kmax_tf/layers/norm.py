"""Batch norm over any set of axes, synchronised across replicas, and layer norm over channels."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from kmax_tf.layers.activation import Activation, gelu, identity
from kmax_tf.layers.fused_norm import (
    normalize,
    normalize_and_activate,
    normalize_rows,
    normalize_rows_with_gradient,
)
from kmax_tf.layers.gradient import with_gradient
from kmax_tf.layers.recompute import keep, runs_again
from kmax_tf.shapes import count_elements


class NormSettings(NamedTuple):
    """What all batch norms of a model share.

    Attributes:
      momentum: share of the old value in the moving statistics.
      epsilon: added to the variance.
      sync: whether batch statistics are taken over all replicas.
    """

    momentum: float
    epsilon: float
    sync: bool


_SMALL = 2**16
"""Elements up to which plain operations beat the fused ones in training (fixed cost, CPU)."""


class BatchNorm(tf.keras.layers.Layer):
    """Batch norm with one set of parameters per index of `axes`.

    The moving variance follows the *biased* batch variance, as the reference implementation's
    synchronised batch norm does; Keras' fused batch norm would use the unbiased one. Statistics
    and parameters are float32 whatever the dtype of the input.

    For a model that only predicts, `fold` makes `gamma` and `beta` the factor and the summand that
    are left of the norm, and `fold_into` gives the factor to the kernel before it. Both are final.

    Input and result: float [..., D], any rank, same shape.

    Args:
      norm: momentum, epsilon, synchronisation.
      axes: axes that keep their own statistics; `()` = one scalar set for the whole tensor.
      parameter_shape: shape in which the parameters are stored, any with the right number of
        elements (in the order of `axes`). Unset: `[size]` for one axis, `[1]` for none, otherwise
        the rank of the input with 1 for the other axes.
      gamma: initial scale.

    Attributes:
      folded: whether `gamma` and `beta` are all that counts.

    Raises:
      ValueError: a folded norm is called in training.
    """

    def __init__(
        self,
        norm: NormSettings,
        *,
        axes: Sequence[int] = (-1,),
        parameter_shape: Optional[Sequence[int]] = None,
        gamma: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.norm = NormSettings(*norm)
        self.axes = tuple(axes)
        self.parameter_shape = None if parameter_shape is None else tuple(parameter_shape)
        self.initial_gamma = gamma
        self.folded = False
        self._has_factor = True

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        sizes = list(input_shape)
        kept = sorted(axis % len(sizes) for axis in self.axes)
        self._channels_last = kept == [len(sizes) - 1]
        self._reduced = tuple(axis for axis in range(len(sizes)) if axis not in kept)
        full_shape = [size if i in kept else 1 for i, size in enumerate(sizes)]
        if None in full_shape:
            raise ValueError(f"`axes` {self.axes} must have static sizes; received {input_shape}.")
        self._flat_shape = [sizes[axis] for axis in kept] or [1]
        # Leading axes of 1 are left to broadcasting, without a reshape each time.
        self._keepdims = not self._channels_last
        self._broadcast_shape = full_shape if self._keepdims else self._flat_shape
        shape = self.parameter_shape
        if shape is None:
            shape = self._flat_shape if len(kept) < 2 else full_shape
        if _product(shape) != _product(self._flat_shape):
            raise ValueError(
                f"`parameter_shape` must have {_product(self._flat_shape)} elements; received "
                f"{tuple(shape)}."
            )
        self.gamma = self._parameter("gamma", shape, self.initial_gamma)
        self.beta = self._parameter("beta", shape, 0.0)
        self.moving_mean = self._statistic("moving_mean", shape, 0.0)
        self.moving_variance = self._statistic("moving_variance", shape, 1.0)

    def call(
        self, inputs: tf.Tensor, training: bool = False, activation: Activation = identity
    ) -> tf.Tensor:
        """Normalises and activates.

        Args:
          inputs: float [..., D].
          training: whether the statistics of `inputs` are used, and move the moving ones.
          activation: applied to the result; as one step with the norm it needs less memory.
        """
        training = training and self.trainable
        self._refuse_training(training)
        replicas = self._replicas() if training else None
        small = training and (inputs.shape.num_elements() or _SMALL + 1) <= _SMALL
        if self._channels_last and replicas is None and not small:
            return self._fused(inputs, training, activation)
        return activation(self._composed(inputs, training, replicas), training)

    def constants(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Factor and summand that the norm is in inference: float32 in the shape of `gamma`."""
        if self.folded:
            return tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        scale = self.gamma * tf.math.rsqrt(self.moving_variance + self.norm.epsilon)
        return scale, self.beta - self.moving_mean * scale

    def fold(self) -> None:
        """Makes `gamma` and `beta` the constants of inference; the statistics are not read again.

        Does nothing where nothing was built, or the second time.
        """
        if not self.built or self.folded:
            return
        scale, shift = self.constants()
        self.gamma.assign(scale)
        self.beta.assign(shift)
        self.folded = True

    def fold_into(self, kernel: tf.Variable, *, axis: int = -1) -> None:
        """As `fold`, and the factor becomes part of the kernel whose result the norm reads.

        Args:
          kernel: float32, its `axis` are the channels of the norm.
          axis: negative.
        """
        self.fold()
        if not self._has_factor:
            return
        kernel.assign(kernel * tf.reshape(self.gamma, [-1] + [1] * (-1 - axis)))
        self.gamma.assign(tf.ones_like(self.gamma))
        self._has_factor = False

    def bias_of_kernel(self, training: bool) -> Optional[tf.Tensor]:
        """What `fold_into` left: [D] in the dtype that the layer computes in.

        Returns:
          `None` where there was no `fold_into`, and the norm has to be called.
        """
        if self._has_factor:
            return None
        self._refuse_training(training and self.trainable)
        return tf.cast(tf.reshape(self.beta, [-1]), self.compute_dtype)

    def _refuse_training(self, training: bool) -> None:
        if training and self.folded:
            raise ValueError(
                f"`training` must be False where batch norms are folded for inference; received "
                f"True in {self.name}. Build the model again to train it."
            )

    def _composed(
        self,
        inputs: tf.Tensor,
        training: bool,
        replicas: Optional[tf.distribute.ReplicaContext],
    ) -> tf.Tensor:
        """From plain operations: any axes, statistics over replicas."""
        if not training:
            scale, shift = (self._as_factor(v) for v in self.constants())
            return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)
        features = tf.cast(inputs, tf.float32)
        gamma, beta = self._as_factor(self.gamma), self._as_factor(self.beta)
        if replicas is None:
            outputs, mean, variance = self._normalize(features, gamma, beta)
        else:
            mean, variance = self._moments_over(replicas, features)
            scale = tf.math.rsqrt(variance + self.norm.epsilon) * gamma
            outputs = features * scale + (beta - mean * scale)
        self._move_statistics(mean, variance)
        return tf.cast(outputs, inputs.dtype)

    def _fused(self, inputs: tf.Tensor, training: bool, activation: Activation) -> tf.Tensor:
        features = inputs
        if inputs.shape.rank != 4:
            features = tf.reshape(inputs, [-1, 1, 1] + self._flat_shape)
        gamma, beta = self._flat(self.gamma), self._flat(self.beta)
        if training:
            step = normalize_and_activate if activation is gelu else normalize
            outputs, mean, variance = step(features, gamma, beta, epsilon=self.norm.epsilon)
            outputs = outputs if activation is gelu else activation(outputs, training)
            self._move_statistics(mean, variance)
        else:
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                features,
                gamma,
                beta,
                *self._statistics(),
                epsilon=self.norm.epsilon,
                is_training=False,
            )
            outputs = activation(outputs, training)
        if features is inputs:
            return outputs
        shape = inputs.shape if inputs.shape.is_fully_defined() else tf.shape(inputs)
        return tf.reshape(outputs, shape)

    def _statistics(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance [D] that inference takes off."""
        if self.folded:  # The fused operation is quicker than a product and a sum.
            return tf.zeros(self._flat_shape), tf.fill(self._flat_shape, 1.0 - self.norm.epsilon)
        return self._flat(self.moving_mean), self._flat(self.moving_variance)

    def _flat(self, variable: tf.Variable) -> tf.Tensor:
        return _shaped(variable, self._flat_shape)

    def _as_factor(self, values: Any) -> tf.Tensor:
        """A variable, or a tensor of its elements, in a shape that broadcasts with the input."""
        return _shaped(values, self._broadcast_shape)

    def _move_statistics(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the moving statistics towards those of a batch, once per step."""
        if runs_again():
            return
        fresh = tf.constant(1.0 - self.norm.momentum)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            # On the handle, which is the replica's own copy: one operation for the whole update.
            tf.raw_ops.ResourceApplyGradientDescent(
                var=moving.handle, alpha=fresh, delta=moving - _shaped(batch, moving.shape)
            )

    def _normalize(
        self, features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalises by the statistics of `features`; also returns mean and biased variance."""
        axes = self._reduced
        keepdims = self._keepdims

        def measure() -> Tuple[tf.Tensor, tf.Tensor]:
            mean = tf.reduce_mean(features, axes, keepdims=keepdims)
            deviations = tf.math.squared_difference(features, mean)
            return mean, tf.reduce_mean(deviations, axes, keepdims=keepdims)

        mean, variance = keep(measure)

        # The gradient in closed form, mean and variance included: a third fewer nodes.
        @with_gradient
        def normalize(
            features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, mean: tf.Tensor, inv: tf.Tensor
        ) -> Tuple[tf.Tensor, Any]:
            normal = (features - mean) * inv

            def gradient(upstream: tf.Tensor) -> Tuple[Optional[tf.Tensor], ...]:
                beta_gradient = tf.reduce_sum(upstream, axes, keepdims=keepdims)
                gamma_gradient = tf.reduce_sum(upstream * normal, axes, keepdims=keepdims)
                share = 1.0 / count_elements(features, axes)
                through_statistics = beta_gradient * share + normal * (gamma_gradient * share)
                inputs_gradient = (upstream - through_statistics) * (inv * gamma)
                return inputs_gradient, gamma_gradient, beta_gradient, None, None

            return normal * gamma + beta, gradient

        inv = tf.math.rsqrt(variance + self.norm.epsilon)
        return normalize(features, gamma, beta, mean, inv), mean, variance

    def _moments_over(
        self, replicas: tf.distribute.ReplicaContext, features: tf.Tensor
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Mean and biased variance over all replicas."""
        sums = tf.reshape(tf.reduce_sum(features, self._reduced), [-1])
        squares = tf.reshape(tf.reduce_sum(tf.square(features), self._reduced), [-1])
        channels = _product(self._flat_shape)
        count = tf.convert_to_tensor(count_elements(features, self._reduced))
        # One message for all three: the number of collectives counts, not their size.
        packed = _sum_over(replicas, tf.concat([sums, squares, [count]], 0))
        mean = packed[:channels] / packed[-1]
        variance = tf.maximum(packed[channels:-1] / packed[-1] - tf.square(mean), 0.0)
        return (
            self._as_factor(mean),
            self._as_factor(variance),
        )

    def _replicas(self) -> Optional[tf.distribute.ReplicaContext]:
        """The replica context when statistics have to travel between replicas."""
        if not self.norm.sync:
            return None
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return None
        return context

    def _parameter(self, name: str, shape: Sequence[int], value: float) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=tf.float32,
            initializer=tf.keras.initializers.Constant(value),
            experimental_autocast=False,
        )

    def _statistic(self, name: str, shape: Sequence[int], value: float) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=tf.float32,
            initializer=tf.keras.initializers.Constant(value),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
            experimental_autocast=False,
        )

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "norm": tuple(self.norm),
            "axes": self.axes,
            "parameter_shape": self.parameter_shape,
            "gamma": self.initial_gamma,
        }


class LayerNorm(tf.keras.layers.Layer):
    """Layer norm over the last axis; computed in float32.

    Input and result: float [..., D], same shape.

    Args:
      epsilon: added to the variance.
    """

    def __init__(self, *, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        shape = [input_shape[-1]]
        options = {"shape": shape, "dtype": tf.float32, "experimental_autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        # A SavedModel would warn about the gradient, so inference goes without.
        step = normalize_rows_with_gradient if training else normalize_rows
        features = tf.cast(inputs, tf.float32)
        outputs = step(features, self.gamma, self.beta, epsilon=self.epsilon)
        return tf.cast(outputs, inputs.dtype)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _sum_over(replicas: tf.distribute.ReplicaContext, local: tf.Tensor) -> tf.Tensor:
    """Sum of a tensor over all replicas; a layer that is recomputed sends it once."""

    def add_up(tensor: tf.Tensor) -> tf.Tensor:
        return replicas.all_reduce(tf.distribute.ReduceOp.SUM, tensor)

    total = keep(lambda: add_up(local))
    if not runs_again():
        return total
    return tf.custom_gradient(lambda unused: (tf.identity(total), add_up))(local)


def _shaped(values: Any, shape: Sequence[int]) -> tf.Tensor:
    """A tensor or variable, reshaped where it has another shape."""
    tensor = tf.convert_to_tensor(values)
    return tensor if tensor.shape == tf.TensorShape(shape) else tf.reshape(tensor, shape)


def _product(shape: Sequence[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result

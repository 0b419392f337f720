"""Optimisers: Adam, AdamW and SGD as one fused update per variable.

They are small on purpose. Keras' own classes differ between the two supported versions, keep
slots by creation order, and apply weight decay in another way than the reference implementation,
whose published models depend on it. Slots are kept under the attribute path of their variable, so
a checkpoint does not depend on the order in which layers were made.

`apply` runs in replica context: every replica holds the same aggregated gradient and updates its
own copy, hence the raw handles, which are the local copy of a mirrored variable.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence

import tensorflow as tf

from trainer.parameter_groups import Parameter
from trainer.schedules import Schedule

FIRST_MOMENT_DECAY = 0.9
SECOND_MOMENT_DECAY = 0.999
EPSILON = 1e-7
MOMENTUM = 0.9


def clip_by_global_norm(
    gradients: Sequence[Optional[tf.Tensor]], *, norm: tf.Tensor, limit: float
) -> list:
    """Scales all gradients by `limit / max(norm, limit)`.

    Args:
      gradients: float tensors or None.
      norm: float32 scalar, their global norm.
      limit: the largest global norm that is left alone.
    """
    scale = limit / tf.maximum(norm, limit)
    return [None if g is None else g * tf.cast(scale, g.dtype) for g in gradients]


class AdamW:
    """Adam (Kingma & Ba, https://arxiv.org/abs/1412.6980) with decoupled weight decay.

    Per variable, with the scheduled rate `lr` (times the variable's multiplier), t = step + 1:

      theta -= lr * weight_decay * theta                (decayed variables only)
      m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2
      theta -= lr * sqrt(1 - 0.999^t) / (1 - 0.9^t) * m / (sqrt(v) + 1e-7)

    Args:
      parameters: what is updated; slots are created here, so call it in the strategy's scope.
      schedule: learning rate as a function of the number of updates made.
      weight_decay: coefficient of the decay; 0 = plain Adam.
    """

    def __init__(
        self, parameters: Sequence[Parameter], *, schedule: Schedule, weight_decay: float
    ) -> None:
        self._parameters = tuple(parameters)
        self.schedule = schedule
        self._weight_decay = weight_decay
        self.slots = {
            "first_moment": make_slots(parameters, "m"),
            "second_moment": make_slots(parameters, "v"),
        }

    def apply(self, gradients: Sequence[Optional[tf.Tensor]], step: tf.Tensor) -> None:
        """Updates the parameters.

        Args:
          gradients: one per parameter, of its shape; None leaves the parameter as it is.
          step: int64 scalar, the number of updates made before this one.
        """
        rate = self.schedule(step)
        time = tf.cast(step + 1, tf.float32)
        first_power = tf.pow(FIRST_MOMENT_DECAY, time)
        second_power = tf.pow(SECOND_MOMENT_DECAY, time)
        rates = scaled_rates(rate, self._parameters)
        decays = {k: r * self._weight_decay for k, r in rates.items()}
        # One constant for all variables: a number in the call would be one for each.
        first_decay, second_decay = (
            tf.constant(FIRST_MOMENT_DECAY),
            tf.constant(SECOND_MOMENT_DECAY),
        )
        epsilon = tf.constant(EPSILON)
        for parameter, gradient in zip(self._parameters, gradients):
            if gradient is None:
                continue
            variable = parameter.variable
            multiplier = parameter.learning_rate_multiplier
            if parameter.decayed and self._weight_decay:
                tf.raw_ops.AssignSubVariableOp(
                    resource=variable.handle, value=decays[multiplier] * variable
                )
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self.slots["first_moment"][parameter.path].handle,
                v=self.slots["second_moment"][parameter.path].handle,
                beta1_power=first_power,
                beta2_power=second_power,
                lr=rates[multiplier],
                beta1=first_decay,
                beta2=second_decay,
                epsilon=epsilon,
                grad=gradient,
            )


class SGD:
    """Gradient descent with momentum 0.9: `a = 0.9 a - lr g; theta += a`.

    Args:
      parameters: what is updated; slots are created here, so call it in the strategy's scope.
      schedule: learning rate as a function of the number of updates made.
    """

    def __init__(self, parameters: Sequence[Parameter], *, schedule: Schedule) -> None:
        self._parameters = tuple(parameters)
        self.schedule = schedule
        self.slots = {"momentum": make_slots(parameters, "a")}

    def apply(self, gradients: Sequence[Optional[tf.Tensor]], step: tf.Tensor) -> None:
        """Updates the parameters; arguments as for `AdamW.apply`."""
        rates = scaled_rates(self.schedule(step), self._parameters)
        for parameter, gradient in zip(self._parameters, gradients):
            if gradient is None:
                continue
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=parameter.variable.handle,
                accum=self.slots["momentum"][parameter.path].handle,
                lr=rates[parameter.learning_rate_multiplier],
                grad=gradient,
                momentum=MOMENTUM,
            )


def make_slots(parameters: Sequence[Parameter], suffix: str) -> Dict[str, tf.Variable]:
    """A variable of zeros for each parameter, by its path.

    Args:
      parameters: what is updated.
      suffix: of the variables' names.
    """
    return {
        p.path: tf.Variable(
            tf.zeros(p.variable.shape, p.variable.dtype),
            trainable=False,
            name=f"{p.path}/{suffix}",
        )
        for p in parameters
    }


def scaled_rates(rate: tf.Tensor, parameters: Sequence[Parameter]) -> Dict[float, tf.Tensor]:
    """Multiplier of the learning rate -> `rate` times it, for all that the parameters have."""
    multipliers = {p.learning_rate_multiplier for p in parameters}
    return {m: rate if m == 1.0 else rate * m for m in sorted(multipliers)}

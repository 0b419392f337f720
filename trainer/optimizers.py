"""Optimisers: Adam, AdamW and SGD as one fused update per variable.

They are small on purpose. Keras' own classes differ between the two supported versions, keep
slots by creation order, and apply weight decay in another way than the reference implementation,
whose published models depend on it. Slots are kept under the attribute path of their variable, so
a checkpoint does not depend on the order in which layers were made.

`apply` runs in replica context: every replica holds the same aggregated gradient and updates its
own copy, hence the raw handles, which are the local copy of a mirrored variable.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Sequence, Union

import tensorflow as tf

from trainer.parameter_groups import Parameter
from trainer.schedules import Schedule

FIRST_MOMENT_DECAY = 0.9
SECOND_MOMENT_DECAY = 0.999
EPSILON = 1e-7
MOMENTUM = 0.9


def clipping_factor(*, norm: tf.Tensor, limit: float) -> tf.Tensor:
    """What clipping by the global norm multiplies all gradients by: `limit / max(norm, limit)`.

    Args:
      norm: float32 scalar, the global norm of the gradients.
      limit: the largest global norm that is left alone.
    """
    return limit / tf.maximum(norm, limit)


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

    def apply(
        self,
        gradients: Sequence[Optional[tf.Tensor]],
        step: tf.Tensor,
        *,
        factor: Union[float, tf.Tensor] = 1.0,
        sound: Union[bool, tf.Tensor] = True,
    ) -> None:
        """Updates the parameters.

        Args:
          gradients: one per parameter, of its shape; None leaves the parameter as it is.
          step: int64 scalar, the number of updates made before this one.
          factor: of the gradients, a float32 scalar.
          sound: bool scalar; where it is false nothing changes, whatever the gradients hold.
        """
        # With a rate of 0, moments that keep all of themselves and gradients of 0, the update is
        # exactly none. A condition around it would hand all variables to each of its branches:
        # a sixth of the nodes of a training step.
        factor = tf.where(sound, factor, 0.0)
        rate = tf.where(sound, self.schedule(step), 0.0)
        time = tf.cast(step + 1, tf.float32)
        first_power = tf.pow(FIRST_MOMENT_DECAY, time)
        second_power = tf.pow(SECOND_MOMENT_DECAY, time)
        rates = scaled_rates(rate, self._parameters)
        decays = {k: r * self._weight_decay for k, r in rates.items()}
        # One constant for all variables: a number in the call would be one for each.
        first_decay, second_decay = (
            tf.where(sound, FIRST_MOMENT_DECAY, 1.0),
            tf.where(sound, SECOND_MOMENT_DECAY, 1.0),
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
                # 0 where the factor is, even where the gradient is not finite.
                grad=tf.math.multiply_no_nan(tf.convert_to_tensor(gradient), factor),
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

    def apply(
        self,
        gradients: Sequence[Optional[tf.Tensor]],
        step: tf.Tensor,
        *,
        factor: Union[float, tf.Tensor] = 1.0,
        sound: Union[bool, tf.Tensor] = True,
    ) -> None:
        """Updates the parameters; arguments as for `AdamW.apply`."""
        rates = scaled_rates(self.schedule(step), self._parameters)

        def update() -> None:
            for parameter, gradient in zip(self._parameters, gradients):
                if gradient is None:
                    continue
                tf.raw_ops.ResourceApplyKerasMomentum(
                    var=parameter.variable.handle,
                    accum=self.slots["momentum"][parameter.path].handle,
                    lr=rates[parameter.learning_rate_multiplier],
                    grad=tf.convert_to_tensor(gradient) * factor,
                    momentum=MOMENTUM,
                )

        run_if(sound, update)


def run_if(condition: Union[bool, tf.Tensor], update: Callable[[], None]) -> None:
    """Calls `update` in the graph where `condition`, a bool scalar, is true."""
    tf.cond(tf.convert_to_tensor(condition), lambda: _done(update), lambda: False)


def _done(update: Callable[[], None]) -> bool:
    update()
    return True


def make_slots(parameters: Sequence[Parameter], name: str) -> Dict[str, tf.Variable]:
    """A variable of zeros for each parameter, by its path.

    Args:
      parameters: what is updated.
      name: of all the variables: with names of their own, making them would take twice as long.
    """
    return {
        p.path: tf.Variable(
            tf.zeros(p.variable.shape, p.variable.dtype),
            trainable=False,
            name=name,
        )
        for p in parameters
    }


def scaled_rates(rate: tf.Tensor, parameters: Sequence[Parameter]) -> Dict[float, tf.Tensor]:
    """Multiplier of the learning rate -> `rate` times it, for all that the parameters have."""
    multipliers = {p.learning_rate_multiplier for p in parameters}
    return {m: rate if m == 1.0 else rate * m for m in sorted(multipliers)}

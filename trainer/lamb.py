"""LAMB: layer-wise adaptive rates for very large batches, from tensorflow-addons.

Imported only where it was chosen: tensorflow-addons takes a second to import, and exists for
Python 3.9 - 3.11 alone.
"""

from __future__ import annotations

import warnings
from typing import Dict, Optional, Sequence, Union

import tensorflow as tf

from trainer.optimizers import (
    FIRST_MOMENT_DECAY,
    SECOND_MOMENT_DECAY,
    make_slots,
    run_if,
    scaled_rates,
)
from trainer.parameter_groups import Parameter
from trainer.schedules import Schedule

with warnings.catch_warnings():
    # It announces its end of life, about which a user can do nothing; the versions are pinned.
    warnings.simplefilter("ignore", UserWarning)
    import tensorflow_addons as tfa

EPSILON = 1e-6

_DEVICE = ""  # The coefficients are those of wherever the replica runs.


class LAMB:
    """LAMB (You et al., https://arxiv.org/abs/1904.00962, Algorithm 2).

    Per variable, with the scheduled rate `lr` (times the variable's multiplier), t = step + 1:

      m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2
      u = m / (1 - 0.9^t) / (sqrt(v / (1 - 0.999^t)) + 1e-6) + weight_decay * theta
      theta -= lr * |theta| / |u| * u

    As usual (and as in tensorflow-addons where it is given one list of exceptions), what is not
    decayed, biases and norms above all, is not scaled by its norm either: `theta -= lr * u`. Norms
    of 0 scale by 1.

    Args:
      parameters: what is updated; slots are created here, so call it in the strategy's scope.
      schedule: learning rate as a function of the number of updates made.
      weight_decay: coefficient of the decay.
    """

    def __init__(
        self, parameters: Sequence[Parameter], *, schedule: Schedule, weight_decay: float
    ) -> None:
        self._parameters = tuple(parameters)
        self.schedule = schedule
        self.slots = {
            "first_moment": make_slots(parameters, "m"),
            "second_moment": make_slots(parameters, "v"),
        }
        multipliers = {p.learning_rate_multiplier for p in parameters}
        self._rules = {m: _Rule(weight_decay) for m in sorted(multipliers)}

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
            for multiplier, rule in self._rules.items():
                rule.begin(rates[multiplier], step)
            for parameter, gradient in zip(self._parameters, gradients):
                if gradient is None:
                    continue
                slots = {name: slot[parameter.path] for name, slot in self.slots.items()}
                rule = self._rules[parameter.learning_rate_multiplier]
                rule.update(parameter, slots, tf.convert_to_tensor(gradient) * factor)

        run_if(sound, update)


class _LocalCopy:
    """A replica's own copy of a mirrored variable: what tensorflow-addons asks of a variable.

    A mirrored variable itself refuses to be assigned in replica context.

    Args:
      variable: float32.
      decayed: whether weight decay and the scale of its norm apply.
      slots: copies of its moments, by their names in tensorflow-addons.
    """

    device = _DEVICE
    dtype = tf.float32

    def __init__(
        self,
        variable: tf.Variable,
        *,
        decayed: bool = False,
        slots: Optional[Dict[str, _LocalCopy]] = None,
    ) -> None:
        self._variable = variable
        self.decayed = decayed
        self.slots = slots or {}

    def __tf_tensor__(
        self, dtype: Optional[tf.DType] = None, name: Optional[str] = None
    ) -> tf.Tensor:
        return tf.raw_ops.ReadVariableOp(resource=self._variable.handle, dtype=self.dtype)

    def __mul__(self, factor: tf.Tensor) -> tf.Tensor:
        return tf.convert_to_tensor(self) * factor

    def __sub__(self, other: tf.Tensor) -> tf.Tensor:
        return tf.convert_to_tensor(self) - other

    def assign(self, value: tf.Tensor, use_locking: bool = False) -> tf.Tensor:
        """Sets the copy; returns the value."""
        tf.raw_ops.AssignVariableOp(resource=self._variable.handle, value=value)
        return value


class _Rule(tfa.optimizers.LAMB):
    """The update of tensorflow-addons, for one rate, inside the step of a replica.

    Its own `apply_gradients` goes over to cross-replica context for the update, which is not
    possible inside the condition that keeps faulty gradients out, adds up gradients over replicas
    a second time unless told otherwise, counts steps by itself and numbers its slots. What Keras
    documents for subclasses is used instead: coefficients and the update of one variable.

    Args:
      weight_decay: coefficient of the decay.
    """

    def __init__(self, weight_decay: float) -> None:
        super().__init__(
            learning_rate=lambda: self._rate,
            beta_1=FIRST_MOMENT_DECAY,
            beta_2=SECOND_MOMENT_DECAY,
            epsilon=EPSILON,
            weight_decay=weight_decay,
        )
        self._create_hypers()  # Variables: now, in the strategy's scope.
        self._coefficients: Dict = {}

    def begin(self, rate: tf.Tensor, step: tf.Tensor) -> None:
        """Prepares the updates of a step.

        Args:
          rate: float32 scalar.
          step: int64 scalar, the number of updates made before.
        """
        self._rate, self._step = rate, step
        self._coefficients = {(_DEVICE, tf.float32): {}}
        self._prepare_local(_DEVICE, tf.float32, self._coefficients)

    def update(
        self, parameter: Parameter, slots: Dict[str, tf.Variable], gradient: tf.Tensor
    ) -> None:
        """Updates a parameter and its slots, as prepared by `begin`."""
        local = _LocalCopy(
            parameter.variable,
            decayed=parameter.decayed,
            slots={
                "m": _LocalCopy(slots["first_moment"]),
                "v": _LocalCopy(slots["second_moment"]),
            },
        )
        self._resource_apply_dense(
            tf.convert_to_tensor(gradient), local, apply_state=self._coefficients
        )

    @property
    def iterations(self) -> tf.Tensor:
        """The number of updates made before."""
        return self._step

    def get_slot(self, var: _LocalCopy, slot_name: str) -> _LocalCopy:
        """First (`m`) or second (`v`) moment of a variable."""
        return var.slots[slot_name]

    def _do_use_weight_decay(self, variable: _LocalCopy) -> bool:
        return variable.decayed

    def _do_layer_adaptation(self, variable: _LocalCopy) -> bool:
        return variable.decayed

"""Which variables are updated how: rate by part of the model, decay by kind of variable."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple

import tensorflow as tf

from kmax_tf.checkpoints.mapping import variables_by_path

_DECAYED = re.compile(r".*(kernel|weight):0$")


class Parameter(NamedTuple):
    """One trainable variable and how it is updated.

    Attributes:
      path: attribute path in the model; names the optimiser's slots in checkpoints.
      variable: what is updated.
      learning_rate_multiplier: factor on the scheduled rate.
      decayed: whether weight decay applies.
    """

    path: str
    variable: tf.Variable
    learning_rate_multiplier: float
    decayed: bool


def is_decayed(name: str) -> bool:
    """Whether weight decay applies to a variable of this name (`.../kernel:0` or `.../weight:0`).

    Biases, norms, embeddings and tables such as `kernel_bank:0` are left alone.
    """
    return _DECAYED.match(name) is not None


def collect_parameters(
    model: tf.keras.Model, *, pixel_encoder_multiplier: float
) -> List[Parameter]:
    """Trainable variables of `model`, each once, in a stable order.

    Args:
      model: has its variables, and the attribute `pixel_encoder`.
      pixel_encoder_multiplier: factor on the learning rate of the pixel encoder's variables.

    Raises:
      ValueError: a trainable variable cannot be reached over attributes, so it could not be saved.
    """
    in_encoder = {id(v) for v in model.pixel_encoder.trainable_variables}
    paths: Dict[int, str] = {id(v): path for path, v in variables_by_path(model).items()}
    parameters = []
    for variable in model.trainable_variables:
        path = paths.get(id(variable))
        if path is None:
            raise ValueError(
                f"The variable {variable.name} is no attribute of the model or of its parts."
            )
        multiplier = pixel_encoder_multiplier if id(variable) in in_encoder else 1.0
        parameters.append(Parameter(path, variable, multiplier, is_decayed(variable.name)))
    return parameters

"""Non-linearities by name."""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional, Tuple

import tensorflow as tf


@tf.custom_gradient
def gelu(features: tf.Tensor) -> Tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Exact Gaussian error linear unit, `x * Phi(x)` (https://arxiv.org/abs/1606.08415).

    Not the tanh approximation: published weights were trained with erf. The gradient is written
    out because automatic differentiation passes over the tensor half again as often.

    Args:
      features: float, any shape.

    Returns:
      Same shape and dtype.
    """
    cumulative = 0.5 + 0.5 * tf.math.erf(features * math.sqrt(0.5))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        density = tf.exp(-0.5 * tf.square(features)) * (1.0 / math.sqrt(2.0 * math.pi))
        return upstream * (cumulative + features * density)

    return features * cumulative, gradient


_ACTIVATIONS: Dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"relu": tf.nn.relu, "gelu": gelu}


def activation_function(name: Optional[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Element-wise function of a float tensor of any shape; `None` is the identity.

    Raises:
      ValueError: the name is unknown.
    """
    if name is None:
        return lambda features: features
    if name not in _ACTIVATIONS:
        raise ValueError(f"`activation` accepts {sorted(_ACTIVATIONS)} or None; received {name!r}.")
    return _ACTIVATIONS[name]

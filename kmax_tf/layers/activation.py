"""Non-linearities by name."""

from __future__ import annotations

from typing import Callable, Dict, Optional

import tensorflow as tf

_ACTIVATIONS: Dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": tf.nn.relu,
    # The exact form, with erf: weights were trained with it.
    "gelu": lambda features: tf.nn.gelu(features, approximate=False),
}


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

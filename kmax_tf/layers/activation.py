"""Non-linearities by name."""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional, Tuple

import tensorflow as tf

from kmax_tf.layers.gradient import with_gradient

Activation = Callable[..., tf.Tensor]
"""`activation(features, training=False)`: float of any shape -> same shape and dtype."""


def relu(features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """`max(x, 0)` of a float tensor of any shape; `training` makes no difference."""
    del training
    return tf.nn.relu(features)


def gelu(features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Exact Gaussian error linear unit, `x * Phi(x)` (https://arxiv.org/abs/1606.08415).

    Not the tanh approximation: published weights were trained with erf.

    Args:
      features: float, any shape.
      training: whether to attach the written-out gradient, which is quicker than the automatic
        one. A SavedModel would warn about it, so inference goes without.

    Returns:
      Same shape and dtype.
    """
    if training:
        return _gelu_with_gradient(features)
    # In just this form: TensorFlow Lite knows it as one operation, and has no erf of its own.
    return 0.5 * features * (1.0 + tf.math.erf(features * math.sqrt(0.5)))


def identity(features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """`features` itself."""
    del training
    return features


@with_gradient
def _gelu_with_gradient(
    features: tf.Tensor,
) -> Tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Keeps nothing but the features; automatic differentiation would keep three more tensors."""
    return gelu(features), lambda upstream: gelu_gradient(not_before(upstream, features), upstream)


def not_before(event: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, available from when `event` is.

    What a gradient makes again from kept tensors would else be made, and kept, in the forward pass:
    TensorFlow runs an operation as soon as its inputs are there.
    """
    with tf.control_dependencies([event]):
        return tf.identity(tensor)


def gelu_gradient(features: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Gradient of `gelu` at `features`, times `upstream`; all of the same shape and dtype."""
    # Phi(x) + x * phi(x) in y = x / sqrt(2), with the factor of phi in the exponent: as few passes
    # over the features as there are.
    scaled = features * math.sqrt(0.5)
    density = tf.exp(-0.5 * math.log(math.pi) - scaled * scaled)
    return upstream * (0.5 + 0.5 * tf.math.erf(scaled) + scaled * density)


_ACTIVATIONS: Dict[str, Activation] = {"relu": relu, "gelu": gelu}


def activation_function(name: Optional[str]) -> Activation:
    """Element-wise function of a float tensor of any shape; `None` is the identity.

    Raises:
      ValueError: the name is unknown.
    """
    if name is None:
        return identity
    if name not in _ACTIVATIONS:
        raise ValueError(f"`activation` accepts {sorted(_ACTIVATIONS)} or None; received {name!r}.")
    return _ACTIVATIONS[name]

"""Moving average of the weights, which is evaluated and exported in place of the last ones.

The averages are the variables of a second model of the same config: whoever wants averaged weights
uses that model, and no weights are ever exchanged, so that an evaluation that breaks off cannot
leave averages among the weights that training goes on with.
"""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.checkpoints.mapping import AVERAGE_PREFIX, variables_by_path

AVERAGE = AVERAGE_PREFIX.rstrip("/")
"""The name of the averaged model among what is saved."""


class WeightAverage:
    """Exponential moving average of all variables of a model.

    After the update that follows `step` others:

      average -= (1 - d) * (average - variable),  d = min(decay, (1 + step) / (10 + step))

    The smaller decay of the first steps is that of `tf.train.ExponentialMovingAverage` with
    `num_updates` (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage): an
    average over few steps forgets the random weights that it began with.

    The statistics of batch norms are averaged too. The current ones belong to other weights than
    the averages, and averaging both over the same steps keeps them together.

    Args:
      model: float32 variables; is trained.
      averaged: a model of the same config, made in the same strategy's scope; its variables become
        the averages.
      decay: in (0, 1), per step.

    Attributes:
      model: `averaged`.
    """

    def __init__(self, model: tf.keras.Model, *, averaged: tf.keras.Model, decay: float) -> None:
        self.model = averaged
        self._decay = decay
        averages = variables_by_path(averaged)
        self._pairs = [
            (averages[path], variable) for path, variable in variables_by_path(model).items()
        ]
        self.start()

    def start(self) -> None:
        """Sets the averages to the current weights; called outside a replica context."""
        for average, variable in self._pairs:
            average.assign(variable)

    def update(self, step: tf.Tensor) -> None:
        """Takes in the current weights; called in replica context, after an update.

        Args:
          step: int64 scalar, the number of updates made before that one.
        """
        # 1 - d, from the difference itself: in float32, 1 - 0.9999 is wrong in the fourth digit.
        share = tf.maximum(1.0 - self._decay, 9.0 / (10.0 + tf.cast(step, tf.float32)))
        for average, variable in self._pairs:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=average.handle, alpha=share, delta=average - variable
            )

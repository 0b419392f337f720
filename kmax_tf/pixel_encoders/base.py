"""What every pixel encoder offers."""

from __future__ import annotations

import abc
from typing import Dict

import tensorflow as tf

from kmax_tf.structures import FeaturePyramid


class PixelEncoder(tf.keras.layers.Layer, abc.ABC):
    """Image -> raw features at several strides.

    Features are **raw**: not activated. Who needs an activated feature applies `activation`.

    Attributes:
      strides: feature name (`stage1`..`stage5`) -> stride; two features may share one.
      channels: feature name -> number of channels.
      activation: name of the encoder's non-linearity.
    """

    strides: Dict[str, int]
    channels: Dict[str, int]
    activation: str

    @abc.abstractmethod
    def call(self, images: tf.Tensor, training: bool = False) -> FeaturePyramid:
        """Encodes.

        Args:
          images: float [B, H, W, 3], scaled to -1..1.
          training: whether batch statistics and drop path are used.

        Returns:
          Feature name -> raw feature [B, ceil(H / stride), ceil(W / stride), channels].
        """

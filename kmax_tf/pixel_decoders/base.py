"""What every pixel decoder offers."""

from __future__ import annotations

import abc

import tensorflow as tf

from kmax_tf.structures import FeaturePyramid, PixelFeatures


class PixelDecoder(tf.keras.layers.Layer, abc.ABC):
    """Raw encoder features -> features for the transformer decoder and one for the mask head."""

    @abc.abstractmethod
    def call(self, pyramid: FeaturePyramid, training: bool = False) -> PixelFeatures:
        """Decodes.

        Args:
          pyramid: `stage1`..`stage5` -> raw float feature [B, h, w, D].
          training: whether batch statistics are used.

        Returns:
          `stages`: stride name -> raw feature; `per_pixel`: raw feature at the stride of the masks.
        """

"""What every transformer decoder offers."""

from __future__ import annotations

import abc
from typing import NamedTuple, Tuple

import tensorflow as tf

from kmax_tf.structures import MaskPrediction, PixelFeatures


class DecodedSlots(NamedTuple):
    """Output of a transformer decoder.

    Attributes:
      class_feature: float [B, Q, D].
      mask_feature: float [B, Q, D].
      auxiliary: one prediction per layer at its own stride; `()` unless asked for.
      cluster_assignment: one int32 [B, h, w] per layer, the slot of each pixel.
    """

    class_feature: tf.Tensor
    mask_feature: tf.Tensor
    auxiliary: Tuple[MaskPrediction, ...] = ()
    cluster_assignment: Tuple[tf.Tensor, ...] = ()


class TransformerDecoder(tf.keras.layers.Layer, abc.ABC):
    """Pixel features -> one class feature and one mask feature per slot."""

    @abc.abstractmethod
    def call(
        self, pixel_features: PixelFeatures, training: bool = False, with_auxiliary: bool = False
    ) -> DecodedSlots:
        """Decodes.

        Args:
          pixel_features: output of the pixel decoder.
          training: whether batch statistics and drop path are used.
          with_auxiliary: whether the predictions of all layers are wanted in full.
        """

"""Meta-architecture of mask classification: encoder, pixel decoder, transformer decoder, heads."""

from __future__ import annotations

from typing import Any, Optional

import tensorflow as tf

from kmax_tf.heads.mask_prediction import MaskHead
from kmax_tf.heads.semantic import SemanticHead
from kmax_tf.pixel_decoders.base import PixelDecoder
from kmax_tf.pixel_encoders.base import PixelEncoder
from kmax_tf.shapes import dimensions, resize_bilinear
from kmax_tf.structures import MaskPrediction, ModelOutput
from kmax_tf.transformer_decoders.base import TransformerDecoder


class MaskSegmenter(tf.keras.Model):
    """Image -> a fixed number of masks with classes.

    Args:
      pixel_encoder: image -> feature pyramid.
      pixel_decoder: feature pyramid -> pixel features.
      transformer_decoder: pixel features -> slots.
      mask_head: slots and per-pixel feature -> final prediction.
      semantic_head: auxiliary per-pixel classes, or `None`.
    """

    def __init__(
        self,
        *,
        pixel_encoder: PixelEncoder,
        pixel_decoder: PixelDecoder,
        transformer_decoder: TransformerDecoder,
        mask_head: MaskHead,
        semantic_head: Optional[SemanticHead],
        **kwargs: Any,
    ) -> None:
        # Under mixed precision pixel values are scaled before the encoder rounds them.
        super().__init__(autocast=False, **kwargs)
        self.pixel_encoder = pixel_encoder
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder
        self.mask_head = mask_head
        self.semantic_head = semantic_head

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        return_cluster_assignment: bool = False,
        with_semantic: Optional[bool] = None,
        with_auxiliary: Optional[bool] = None,
    ) -> ModelOutput:
        """Segments.

        Args:
          images: float [B, H, W, 3], RGB in 0..255.
          training: whether batch statistics and drop path are used.
          return_cluster_assignment: whether the slots of all pixels in all layers are returned.
          with_semantic: whether semantic logits are computed; unset = only in training. Without a
            semantic head there are none.
          with_auxiliary: whether the predictions of the decoder layers are computed in full and
            returned; unset = only in training.

        Returns:
          `final` at the stride of the masks, `auxiliary` resized to it; logits are float32.
        """
        with_semantic = training if with_semantic is None else with_semantic
        with_auxiliary = training if with_auxiliary is None else with_auxiliary
        pyramid = self.pixel_encoder(images / 127.5 - 1.0, training=training)
        pixel_features = self.pixel_decoder(pyramid, training=training)
        slots = self.transformer_decoder(
            pixel_features, training=training, with_auxiliary=with_auxiliary
        )
        final = self.mask_head(
            pixel_features.per_pixel, slots.mask_feature, slots.class_feature, training=training
        )
        semantic_logits = None
        if with_semantic and self.semantic_head is not None:
            semantic_logits = tf.cast(self.semantic_head(pyramid, training=training), tf.float32)
        return ModelOutput(
            final=_as_float32(final),
            auxiliary=tuple(
                _as_float32(_resize_as(prediction, final)) for prediction in slots.auxiliary
            ),
            semantic_logits=semantic_logits,
            cluster_assignment=slots.cluster_assignment if return_cluster_assignment else (),
        )


def _resize_as(prediction: MaskPrediction, final: MaskPrediction) -> MaskPrediction:
    """Resizes masks and embeddings; embeddings are not normalised again."""
    size = dimensions(final.mask_logits)[1:3]
    return prediction._replace(
        mask_logits=resize_bilinear(prediction.mask_logits, size),
        pixel_embedding=resize_bilinear(prediction.pixel_embedding, size),
    )


def _as_float32(prediction: MaskPrediction) -> MaskPrediction:
    return MaskPrediction(*(tf.cast(tensor, tf.float32) for tensor in prediction))

"""MaX-DeepLab (https://arxiv.org/abs/2012.00759): a memory of slots inside the encoder, heads."""

from __future__ import annotations

from typing import Any, Optional

import tensorflow as tf

from kmax_tf.heads.mask_prediction import MaskHead
from kmax_tf.heads.semantic import SemanticHead
from kmax_tf.layers.activation import activation_function
from kmax_tf.models.dual_path import DualPath
from kmax_tf.pixel_encoders.max_deeplab_backbone import MaXDeepLabBackbone
from kmax_tf.shapes import dimensions
from kmax_tf.structures import MaskPrediction, ModelOutput


class MaXDeepLab(tf.keras.Model):
    """Image -> a fixed number of masks with classes.

    Args:
      pixel_encoder: the backbone of a size.
      dual_path: memory, dual-path blocks and further stages of the same size.
      mask_head: slots and per-pixel feature -> prediction.
      semantic_head: auxiliary per-pixel classes, or `None`; its `stage5` is the activated
        `semantic_stage` of the size.
    """

    def __init__(
        self,
        *,
        pixel_encoder: MaXDeepLabBackbone,
        dual_path: DualPath,
        mask_head: MaskHead,
        semantic_head: Optional[SemanticHead],
        **kwargs: Any,
    ) -> None:
        # Under mixed precision pixel values are scaled before the encoder rounds them.
        super().__init__(autocast=False, **kwargs)
        self.pixel_encoder = pixel_encoder
        self.dual_path = dual_path
        self.mask_head = mask_head
        self.semantic_head = semantic_head
        size = dual_path.options.size
        self._semantic_stage = size.semantic_stage
        self._last_stage = size.stages[-1].name
        self._activate = activation_function(pixel_encoder.activation)

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
          return_cluster_assignment: accepted as by every model; there are no cluster assignments.
          with_semantic: whether semantic logits are computed; unset = only in training. Without a
            semantic head there are none.
          with_auxiliary: accepted as by every model; there are no auxiliary predictions.

        Returns:
          `final` at stride 4; logits are float32.
        """
        del return_cluster_assignment, with_auxiliary
        with_semantic = training if with_semantic is None else with_semantic
        thread = self.dual_path.start(dimensions(images)[0], training=training)
        pyramid = self.pixel_encoder(images / 127.5 - 1.0, training=training, after_block=thread)
        features = self.dual_path(pyramid, thread, training=training)
        pixel_feature = self._activate(features.pyramid[self._last_stage], training)
        final = self.mask_head(
            pixel_feature, features.mask_feature, features.class_feature, training=training
        )
        semantic_logits = None
        if with_semantic and self.semantic_head is not None:
            semantic = self._activate(features.pyramid[self._semantic_stage], training)
            pyramid = {**features.pyramid, "stage5": semantic}
            semantic_logits = tf.cast(self.semantic_head(pyramid, training=training), tf.float32)
        return ModelOutput(
            final=MaskPrediction(*(tf.cast(tensor, tf.float32) for tensor in final)),
            semantic_logits=semantic_logits,
        )

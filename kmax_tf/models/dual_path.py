"""The mask transformer of MaX-DeepLab: memory, dual-path blocks and the stages that they need."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

import tensorflow as tf

from kmax_tf.layers.conv import LinearNorm
from kmax_tf.layers.dual_path_block import DualPathBlock, DualPathBlockSettings
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.max_deeplab_sizes import NUM_HEADS, MaXDeepLabSize, StageSize
from kmax_tf.pixel_encoders.max_deeplab_stages import (
    StageOptions,
    make_blocks,
    make_fuses,
    run_stage,
)
from kmax_tf.shapes import Size
from kmax_tf.structures import FeaturePyramid


class MemoryThread:
    """Leads the memory from one dual-path block to the next while the pixel path runs.

    Args:
      blocks: dual-path blocks by stage.
      memory: float [B, Q, D], its first state.
      training: whether batch statistics and drop path are used.

    Attributes:
      memory: its latest state.
    """

    def __init__(
        self, blocks: Dict[str, List[DualPathBlock]], memory: tf.Tensor, training: bool
    ) -> None:
        self._blocks = blocks
        self._training = training
        self.memory = memory

    def __call__(self, stage: str, index: int, pixels: tf.Tensor) -> tf.Tensor:
        """Runs the dual-path block after a residual block, where there is one.

        Args:
          stage: name of the stage.
          index: of the residual block in it.
          pixels: raw float [B, h, w, D], its result.

        Returns:
          Raw [B, h, w, D].
        """
        if stage not in self._blocks:
            return pixels
        block = self._blocks[stage][index]
        pixels, self.memory = block(pixels, self.memory, training=self._training)
        return pixels


class DualPathFeatures(NamedTuple):
    """What the heads read.

    Attributes:
      pyramid: raw results of all stages by name.
      class_feature: float [B, Q, D].
      mask_feature: float [B, Q, D].
    """

    pyramid: FeaturePyramid
    class_feature: tf.Tensor
    mask_feature: tf.Tensor


class DualPath(tf.keras.layers.Layer):
    """All of MaX-DeepLab between image and heads that is not its backbone.

    Args:
      size: a row of `MAX_DEEPLAB_SIZES`.
      num_mask_slots: Q.
      drop_path_keep_prob: probability to keep a residual branch of the deepest blocks in training.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        size: Sequence[Any],
        *,
        num_mask_slots: int,
        drop_path_keep_prob: float,
        norm: NormSettings,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        size = MaXDeepLabSize.of(size)
        norm = NormSettings(*norm)
        self.num_mask_slots = num_mask_slots
        self.options = StageOptions(size, drop_path_keep_prob, activation, norm)
        self.stage_sizes = tuple(stage for stage in size.stages if stage.extra)
        self.stages = {stage.name: make_blocks(stage, self.options) for stage in self.stage_sizes}
        self.fuses = make_fuses(self.stage_sizes, self.options)
        self.transformers = {
            stage.name: [self._make_transformer(stage, i) for i in range(stage.num_blocks)]
            for stage in size.stages
            if stage.attention_width
        }
        projection = {"norm": norm, "activation": activation}
        self.class_projection = LinearNorm(size.memory_width, name="class_projection", **projection)
        self.mask_projection = LinearNorm(size.memory_width, name="mask_projection", **projection)
        # Not in `build`: blocks of the backbone's stages read it before this layer is called.
        self.memory = self.add_weight(
            name="memory",
            shape=[1, num_mask_slots, size.memory_width],
            initializer=tf.keras.initializers.TruncatedNormal(stddev=1.0),
        )

    def _make_transformer(self, stage: StageSize, index: int) -> DualPathBlock:
        size = self.options.size
        return DualPathBlock(
            DualPathBlockSettings(
                pixel_channels=stage.channels,
                memory_channels=size.memory_width,
                width=stage.attention_width,
                num_heads=NUM_HEADS,
                feed_forward_width=size.feed_forward_width,
                drop_path_keep_prob=self.options.keep_prob(stage, index),
            ),
            norm=self.options.norm,
            activation=self.options.activation,
            name=f"{stage.name}_block{index + 1}_transformer",
        )

    def start(self, batch: Size, training: bool = False) -> MemoryThread:
        """The memory of `batch` images before the first block, to run with the pixel path."""
        memory = tf.cast(tf.tile(self.memory, [batch, 1, 1]), self.compute_dtype)
        return MemoryThread(self.transformers, memory, training)

    def call(
        self, pyramid: FeaturePyramid, thread: MemoryThread, training: bool = False
    ) -> DualPathFeatures:
        """Runs the stages after the backbone.

        Args:
          pyramid: raw features of the backbone, in the order of execution.
          thread: has run with the backbone.
          training: whether batch statistics and drop path are used.
        """
        pyramid = dict(pyramid)
        features = list(pyramid.values())[-1]
        for stage in self.stage_sizes:
            features = run_stage(
                stage,
                blocks=self.stages[stage.name],
                fuse=self.fuses.get(stage.name),
                features=features,
                pyramid=pyramid,
                after_block=thread,
                training=training,
            )
            pyramid[stage.name] = features
        return DualPathFeatures(
            pyramid=pyramid,
            class_feature=self.class_projection(thread.memory, training=training),
            mask_feature=self.mask_projection(thread.memory, training=training),
        )

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.options.size.as_values(),
            "num_mask_slots": self.num_mask_slots,
            "drop_path_keep_prob": self.options.drop_path_keep_prob,
            "norm": tuple(self.options.norm),
            "activation": self.options.activation,
        }

"""The pixel path of MaX-DeepLab, stage by stage: fuses and residual blocks."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.pixel_encoders.axial_blocks import AxialBlock
from kmax_tf.pixel_encoders.max_deeplab_sizes import (
    FIRST_AXIAL_STRIDE,
    NUM_HEADS,
    MaXDeepLabSize,
    StageSize,
    drop_path_keep_prob,
)
from kmax_tf.pixel_encoders.resnet_blocks import BasicBlock, BottleneckBlock, ResidualBlock
from kmax_tf.shapes import dimensions, resize_bilinear
from kmax_tf.structures import FeaturePyramid

AfterBlock = Callable[[str, int, tf.Tensor], tf.Tensor]
"""(name of the stage, number of the block from 0, its raw result) -> what goes on, same shape."""


class ResizedFuse(tf.keras.layers.Layer):
    """Sum of a feature, projected and brought to the size of the skips, and the skips themselves.

    Args:
      channels: of the skips and of the result.
      halve: whether the projection halves the size; otherwise its result is resized.
      activation: of the projected feature; the skips stay raw.
      norm: settings of the batch norms.
    """

    def __init__(
        self, channels: int, *, halve: bool, activation: str, norm: NormSettings, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.halve = halve
        self.activation = activation
        self.norm_settings = NormSettings(*norm)
        self._activate = activation_function(activation)
        # Two names, because published checkpoints have two.
        if halve:
            self.strided_projection = ConvNorm(
                channels, strides=2, norm=norm, name="strided_projection"
            )
        else:
            self.resized_projection = ConvNorm(channels, norm=norm, name="resized_projection")

    def call(
        self, features: tf.Tensor, skips: Sequence[tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Fuses.

        Args:
          features: raw float [B, h', w', D'].
          skips: raw, each [B, h, w, D]; where `halve`, h = ceil(h' / 2).
          training: whether batch statistics are used.

        Returns:
          Raw [B, h, w, D].
        """
        project = self.strided_projection if self.halve else self.resized_projection
        features = project(self._activate(features, training), training=training)
        if not self.halve:
            features = resize_bilinear(features, dimensions(skips[0])[1:3])
        # Keras casts the first argument only.
        return tf.add_n([features, *(tf.cast(skip, features.dtype) for skip in skips)])

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "halve": self.halve,
            "activation": self.activation,
            "norm": tuple(self.norm_settings),
        }


class StageOptions(NamedTuple):
    """What all stages of a network share.

    Attributes:
      size: the network's.
      drop_path_keep_prob: of the blocks that read the largest stride.
      activation: `relu` or `gelu`.
      norm: settings of the batch norms.
    """

    size: MaXDeepLabSize
    drop_path_keep_prob: float
    activation: str
    norm: NormSettings

    def keep_prob(self, stage: StageSize, block: int) -> float:
        """Probability to keep the branches of a block and of the dual-path block after it."""
        return drop_path_keep_prob(
            stage.stride_before(block),
            min_stride=self.size.drop_path_min_stride,
            keep_prob=self.drop_path_keep_prob,
        )


def make_fuses(stages: Sequence[StageSize], options: StageOptions) -> Dict[str, ResizedFuse]:
    """By the name of their stage; those of `stages` that have skips."""
    fuses = {}
    features_stride = {  # Of what the fuse reads: the result of the stage before.
        stage.name: before.feature_stride
        for before, stage in zip(options.size.stages, options.size.stages[1:])
    }
    for stage in stages:
        if stage.skips:
            fuses[stage.name] = ResizedFuse(
                stage.channels,
                halve=stage.feature_stride > features_stride[stage.name],
                activation=options.activation,
                norm=options.norm,
                name=f"{stage.name}_fuse",
            )
    return fuses


def make_blocks(stage: StageSize, options: StageOptions) -> List[ResidualBlock]:
    """The residual blocks of a stage."""
    blocks: List[ResidualBlock] = []
    for index in range(stage.num_blocks):
        halves = index == 0 and stage.input_stride < stage.feature_stride
        shared = {
            "strides": 2 if halves else 1,
            "activation": options.activation,
            "drop_path_keep_prob": options.keep_prob(stage, index),
            "norm": options.norm,
            "name": f"{stage.name}_block{index + 1}",
        }
        if stage.stride_before(index) >= FIRST_AXIAL_STRIDE:
            bottleneck, key, value = options.size.axial_expansions
            block = AxialBlock(
                stage.base_width,
                num_heads=NUM_HEADS,
                bottleneck_expansion=bottleneck,
                key_expansion=key,
                value_expansion=value,
                **shared,
            )
        elif options.size.conv_block == "basic":
            block = BasicBlock(stage.channels, **shared)
        else:
            block = BottleneckBlock(stage.base_width, **shared)
        blocks.append(block)
    return blocks


def run_stage(
    stage: StageSize,
    *,
    blocks: Sequence[ResidualBlock],
    fuse: Optional[ResizedFuse],
    features: tf.Tensor,
    pyramid: FeaturePyramid,
    after_block: Optional[AfterBlock],
    training: bool,
) -> tf.Tensor:
    """Runs one stage.

    Args:
      stage: its row of the table.
      blocks: of the stage.
      fuse: where the stage has skips.
      features: raw float [B, h', w', D'], result of the stage before.
      pyramid: raw results of earlier stages by name; holds the skips.
      after_block: applied to the result of each block; `None` = identity.
      training: whether batch statistics and drop path are used.

    Returns:
      Raw [B, h, w, D].
    """
    if fuse is not None:
        features = fuse(features, [pyramid[name] for name in stage.skips], training=training)
    for index, block in enumerate(blocks):
        features = block(features, training=training)
        if after_block is not None:
            features = after_block(stage.name, index, features)
    return features

"""Pixel decoder of kMaX-DeepLab (https://arxiv.org/abs/2207.04044, section 3.3)."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.norm import LayerNorm, NormSettings
from kmax_tf.pixel_decoders.base import PixelDecoder
from kmax_tf.pixel_encoders.axial_blocks import AxialBlock
from kmax_tf.pixel_encoders.resnet_blocks import BottleneckBlock, ResidualBlock
from kmax_tf.shapes import dimensions, resize_bilinear
from kmax_tf.structures import FeaturePyramid, PixelFeatures


class StageSettings(NamedTuple):
    """One stage of the decoder.

    Attributes:
      block_type: `bottleneck` (with a 3x3 of dilation 2) or `axial`.
      width: base width; the stage puts out 4 times as many channels.
      num_blocks: blocks in a row.
    """

    block_type: str
    width: int
    num_blocks: int


class SkipFusion(tf.keras.layers.Layer):
    """Sum of two features, each activated, projected and resized to the size of the second.

    The second is normalised before, by a layer that belongs to the caller: where fusions are
    computed again in the backward pass, the normalised feature is not kept either.

    Projection comes before resizing: it is cheaper at the low resolution.

    Args:
      channels: of the result.
      activation: `relu` or `gelu`.
      norm: settings of the batch norms.
    """

    def __init__(
        self, channels: int, *, activation: str, norm: NormSettings, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.activation = activation
        self.norm_settings = NormSettings(*norm)
        self.decoder_projection = ConvNorm(channels, norm=norm, name="decoder_projection")
        self.skip_projection = ConvNorm(channels, norm=norm, name="skip_projection")
        self._activate = activation_function(activation)

    def call(
        self,
        features: tf.Tensor,
        skip: tf.Tensor,
        training: bool = False,
        skip_norm: Optional[LayerNorm] = None,
    ) -> tf.Tensor:
        """Fuses.

        Args:
          features: raw float [B, h, w, D] of the decoder.
          skip: raw float [B, h', w', D'] of the encoder.
          training: whether batch statistics are used.
          skip_norm: normalises `skip`; `None` = it is normalised already.

        Returns:
          Raw [B, h', w', channels].
        """
        size = dimensions(skip)[1:3]
        features = self.decoder_projection(self._activate(features, training), training=training)
        if skip_norm is not None:
            skip = skip_norm(skip, training=training)
        skip = self.skip_projection(self._activate(skip, training), training=training)
        return resize_bilinear(features, size) + skip

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "activation": self.activation,
            "norm": tuple(self.norm_settings),
        }


class KMaxPixelDecoder(PixelDecoder):
    """Stages from stride 32 upwards, each followed by the fusion with the next encoder feature.

    What a stage hands to the transformer decoder is its raw result *before* the fusion.

    Args:
      stages: from `stage5` upwards; 4 stages end at `stage2` (stride 4), 5 at `stage1`.
      strides: of the encoder's features, by name.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.

    Raises:
      ValueError: there are fewer than 2 or more than 5 stages, or a block type is unknown.
    """

    def __init__(
        self,
        stages: Sequence[StageSettings],
        *,
        strides: Dict[str, int],
        norm: NormSettings,
        activation: str = "gelu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 2 <= len(stages) <= 5:
            raise ValueError(f"`stages` needs 2 to 5 entries; received {len(stages)}.")
        self.stage_settings = [StageSettings(*stage) for stage in stages]
        self.strides = dict(strides)
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        self.input_norms = [LayerNorm(name=f"input_norm{i}") for i in range(len(stages))]
        self.stages = [
            [self._make_block(stage, f"stage{i}_block{block}") for block in range(stage.num_blocks)]
            for i, stage in enumerate(self.stage_settings)
        ]
        self.fusions = [
            SkipFusion(stage.width, activation=activation, norm=norm, name=f"fusion{i}")
            for i, stage in enumerate(self.stage_settings[1:])
        ]

    def _make_block(self, stage: StageSettings, name: str) -> ResidualBlock:
        options = {
            "strides": 1,
            "activation": self.activation,
            "drop_path_keep_prob": 1.0,
            "norm": self.norm_settings,
            "name": name,
        }
        if stage.block_type == "axial":
            return AxialBlock(stage.width, **options)
        if stage.block_type == "bottleneck":
            return BottleneckBlock(stage.width, dilation=2, **options)
        raise ValueError(f"`block_type` accepts axial or bottleneck; received {stage.block_type}.")

    def call(self, pyramid: FeaturePyramid, training: bool = False) -> PixelFeatures:
        names: List[str] = [f"stage{5 - i}" for i in range(len(self.stages))]
        features = self.input_norms[0](pyramid[names[0]], training=training)
        stages: Dict[str, tf.Tensor] = {}
        for i, name in enumerate(names):
            for block in self.stages[i]:
                features = block(features, training=training)
            if i + 1 == len(names):
                break
            stages[f"stride{self.strides[name]}"] = features
            features = self.fusions[i](
                features,
                pyramid[names[i + 1]],
                training=training,
                skip_norm=self.input_norms[i + 1],
            )
        return PixelFeatures(stages=stages, per_pixel=features)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "stages": [tuple(stage) for stage in self.stage_settings],
            "strides": dict(self.strides),
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
        }

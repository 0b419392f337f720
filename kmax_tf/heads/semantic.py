"""Auxiliary per-pixel classes, as in Panoptic-DeepLab: trains the encoder, unused by panoptics."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from kmax_tf.layers.activation import activation_function
from kmax_tf.layers.aspp import ASPP
from kmax_tf.layers.conv import ConvNorm, SeparableConvNorm
from kmax_tf.layers.norm import NormSettings
from kmax_tf.shapes import dimensions, resize_bilinear
from kmax_tf.structures import FeaturePyramid


class SemanticDecoderSettings(NamedTuple):
    """ASPP and low-level fusion.

    Attributes:
      aspp_channels: of the pyramid.
      decoder_channels: after each fusion.
      atrous_rates: dilations of the pyramid.
      low_level: (feature, channels) from low to high resolution; `res3` is the activated `stage3`.
      low_level_activation: non-linearity of the encoder.
      dropout_rate: after the pyramid, in training.
      pooling_window: (height, width) of the pyramid's sliding mean; `None` = of the whole map.
    """

    aspp_channels: int
    decoder_channels: int
    atrous_rates: Tuple[int, ...]
    low_level: Tuple[Tuple[str, int], ...]
    low_level_activation: str
    dropout_rate: float
    pooling_window: Optional[Tuple[int, int]] = None


class SemanticDecoder(tf.keras.layers.Layer):
    """DeepLabV3+ decoder (https://arxiv.org/abs/1802.02611) with any number of fusions.

    Args:
      settings: sizes.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        settings: SemanticDecoderSettings,
        *,
        norm: NormSettings,
        activation: str = "gelu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = SemanticDecoderSettings(*settings)
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        options = {"norm": norm, "activation": activation}
        self.aspp = ASPP(
            self.settings.aspp_channels,
            atrous_rates=self.settings.atrous_rates,
            dropout_rate=self.settings.dropout_rate,
            pooling_window=self.settings.pooling_window,
            name="aspp",
            **options,
        )
        self.low_level_projections = [
            ConvNorm(channels, name=f"low_level_projection{i}", **options)
            for i, (_, channels) in enumerate(self.settings.low_level)
        ]
        self.fusions = [
            SeparableConvNorm(self.settings.decoder_channels, name=f"fusion{i}", **options)
            for i in range(len(self.settings.low_level))
        ]
        self._activate_low_level = activation_function(self.settings.low_level_activation)

    def call(self, pyramid: FeaturePyramid, training: bool = False) -> tf.Tensor:
        """Decodes raw `stage5`.

        Args:
          pyramid: raw encoder features.
          training: whether batch statistics and dropout are used.

        Returns:
          float [B, h, w, decoder_channels] at the size of the last low-level feature.
        """
        features = self.aspp(pyramid["stage5"], training=training)
        for (key, _), projection, fusion in zip(
            self.settings.low_level, self.low_level_projections, self.fusions
        ):
            low_level = self._activate_low_level(pyramid[key.replace("res", "stage")], training)
            low_level = projection(low_level, training=training)
            size = dimensions(low_level)[1:3]
            features = tf.concat([resize_bilinear(features, size), low_level], -1)
            features = fusion(features, training=training)
        return features

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "settings": tuple(self.settings),
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
        }


class SemanticHead(tf.keras.layers.Layer):
    """Separable convolution and a 1x1 convolution to the classes.

    Args:
      num_classes: K, channels of the result.
      head_channels: of the separable convolution.
      decoder: settings of the decoder before it; `None` = the head reads raw `stage5` itself.
      norm: settings of the batch norms.
      activation: `relu` or `gelu`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        head_channels: int,
        decoder: Optional[Sequence[Any]],
        norm: NormSettings,
        activation: str = "gelu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.head_channels = head_channels
        self.norm_settings = NormSettings(*norm)
        self.activation = activation
        self.decoder = None
        if decoder is not None:
            self.decoder = SemanticDecoder(
                SemanticDecoderSettings(*decoder), norm=norm, activation=activation, name="decoder"
            )
        self.conv = SeparableConvNorm(head_channels, norm=norm, activation=activation, name="conv")
        self.projection = ConvNorm(num_classes, norm=None, kernel_std=0.01, name="projection")

    def call(self, pyramid: FeaturePyramid, training: bool = False) -> tf.Tensor:
        """Classifies.

        Args:
          pyramid: raw encoder features.
          training: whether batch statistics and dropout are used.

        Returns:
          Logits [B, h, w, K].
        """
        if self.decoder is None:
            features = pyramid["stage5"]
        else:
            features = self.decoder(pyramid, training=training)
        return self.projection(self.conv(features, training=training))

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "head_channels": self.head_channels,
            "decoder": None if self.decoder is None else tuple(self.decoder.settings),
            "norm": tuple(self.norm_settings),
            "activation": self.activation,
        }

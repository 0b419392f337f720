"""Heads and norm settings from a config; every kind of model has them."""

from __future__ import annotations

from typing import Optional, Tuple

from kmax_tf.heads.mask_prediction import MaskHeadSettings
from kmax_tf.heads.semantic import SemanticDecoderSettings, SemanticHead
from kmax_tf.layers.norm import NormSettings
from kmax_tf.structures import DatasetInfo
from protos import experiment_pb2, model_pb2, training_pb2

ASPP_DROPOUT = 0.1
"""Dropout after the atrous pyramid; the same in every published model."""


def norm_settings(options: training_pb2.SolverOptions) -> NormSettings:
    """Momentum, epsilon and synchronisation of all batch norms."""
    return NormSettings(
        momentum=options.batchnorm_momentum,
        epsilon=options.batchnorm_epsilon,
        sync=options.use_sync_batchnorm,
    )


def mask_head_settings(options: model_pb2.MaskHeadOptions, info: DatasetInfo) -> MaskHeadSettings:
    """Sizes of the final mask head and of all auxiliary predictors."""
    return MaskHeadSettings(
        num_outputs=len(info.class_ids) + 1,
        head_channels=options.head_channels,
        embedding_channels=options.output_channels,
        mask_logit_gamma=options.mask_logit_gamma,
    )


def pooling_window(
    config: experiment_pb2.ExperimentOptions, stride: int
) -> Optional[Tuple[int, int]]:
    """Window of the pooling branch of the semantic decoder; `None` = the whole map.

    Args:
      config: read are the decoder's `pooling` and `train_dataset_options.crop_size`.
      stride: of the feature that is pooled.
    """
    decoder = config.model_options.semantic_head.decoder
    if decoder.pooling == model_pb2.SemanticDecoderOptions.WHOLE_MAP:
        return None
    height, width = ((size - 1) // stride + 1 for size in config.train_dataset_options.crop_size)
    return height, width


def semantic_head(
    options: model_pb2.ModelOptions,
    info: DatasetInfo,
    norm: NormSettings,
    *,
    encoder_activation: str,
    activation: str = "gelu",
    pooling_window: Optional[Tuple[int, int]] = None,
) -> Optional[SemanticHead]:
    """The auxiliary semantic head; `None` where the config has none.

    Args:
      options: read are `semantic_head` and what it holds.
      info: classes.
      norm: settings of the batch norms.
      encoder_activation: non-linearity of the low-level encoder features.
      activation: non-linearity of decoder and head.
      pooling_window: result of the function of that name.
    """
    if not options.HasField("semantic_head"):
        return None
    head = options.semantic_head
    decoder = None
    if head.HasField("decoder"):
        decoder = SemanticDecoderSettings(
            aspp_channels=head.decoder.aspp_channels,
            decoder_channels=head.decoder.decoder_channels,
            atrous_rates=tuple(head.decoder.atrous_rates),
            low_level=tuple(
                (low_level.feature_key, low_level.channels_project)
                for low_level in head.decoder.auxiliary_low_level
            ),
            low_level_activation=encoder_activation,
            dropout_rate=ASPP_DROPOUT,
            pooling_window=pooling_window,
        )
    return SemanticHead(
        info.num_classes,
        head_channels=head.head_channels,
        decoder=decoder,
        norm=norm,
        activation=activation,
        name="semantic_head",
    )

"""Sizes of the published encoders."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple


class ResNetSize(NamedTuple):
    """Size of a ResNet, with or without axial attention.

    Attributes:
      depths: blocks of stages 2..5.
      widths: base widths of stages 2..5; a stage puts out 4 times its width.
      stem_width: channels of the stem (axial: of its first two convolutions).
    """

    depths: Tuple[int, ...]
    widths: Tuple[int, ...]
    stem_width: int


RESNET_SIZES: Dict[str, ResNetSize] = {
    "resnet_50": ResNetSize(depths=(3, 4, 6, 3), widths=(64, 128, 256, 512), stem_width=64),
}

AXIAL_RESNET_SIZES: Dict[str, ResNetSize] = {
    "axial_resnet_50": ResNetSize(depths=(3, 4, 6, 3), widths=(64, 128, 256, 512), stem_width=64),
}


class ConvNeXtSize(NamedTuple):
    """Size of a ConvNeXt.

    Attributes:
      depths: blocks of the four stages.
      widths: channels of the four stages.
    """

    depths: Tuple[int, ...]
    widths: Tuple[int, ...]


CONVNEXT_SIZES: Dict[str, ConvNeXtSize] = {
    "convnext_tiny": ConvNeXtSize(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768)),
    "convnext_small": ConvNeXtSize(depths=(3, 3, 27, 3), widths=(96, 192, 384, 768)),
    "convnext_base": ConvNeXtSize(depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024)),
    "convnext_large": ConvNeXtSize(depths=(3, 3, 27, 3), widths=(192, 384, 768, 1536)),
    "convnext_xlarge": ConvNeXtSize(depths=(3, 3, 27, 3), widths=(256, 512, 1024, 2048)),
}

"""Sizes of MaX-DeepLab (https://arxiv.org/abs/2012.00759) and which paths its blocks drop."""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Sequence, Tuple

from kmax_tf.pixel_encoders.resnet_blocks import EXPANSION

NUM_HEADS = 8
"""Of every attention; widths that attend are multiples of it."""

OUTPUT_STRIDE = 16
"""Stages beyond it keep its size, but count on: the *nominal* stride of stage 5 is 32."""

FIRST_AXIAL_STRIDE = 16
"""Blocks that read this nominal stride or a larger one attend along the axes."""


class StageSize(NamedTuple):
    """One stage: a fuse (where it has skips), residual blocks, and dual-path blocks after them.

    Attributes:
      name: `stage1`..`stage5`, `decoder_stage1`, ...; with `_extra` as in published checkpoints.
      base_width: a quarter of the channels of the result.
      num_blocks: residual blocks in a row.
      input_stride: nominal stride of what the first block reads.
      stride: nominal stride of the result.
      skips: earlier stages of the same size whose results are added to the previous stage's,
        resized, before the first block; `()` = the previous result is read as it is.
      attention_width: base width of the dual-path block after each residual block; 0 = none.
      extra: whether it belongs to the mask transformer, not to the backbone that ImageNet trains.
    """

    name: str
    base_width: int
    num_blocks: int
    input_stride: int
    stride: int
    skips: Tuple[str, ...] = ()
    attention_width: int = 0
    extra: bool = False

    @property
    def channels(self) -> int:
        """Of the result."""
        return EXPANSION * self.base_width

    @property
    def feature_stride(self) -> int:
        """Stride of the result as computed, not nominal."""
        return min(self.stride, OUTPUT_STRIDE)

    def stride_before(self, block: int) -> int:
        """Nominal stride of what the block (0 = first) reads."""
        return self.input_stride if block == 0 else self.stride


class MaXDeepLabSize(NamedTuple):
    """A variant.

    Attributes:
      stem_width: channels of the stem's first convolution.
      three_conv_stem: whether the stem has three convolutions, the last raw and twice as wide, and
        its result is `stage1`; otherwise it has one, and a `stage1` of blocks follows.
      conv_block: type of the blocks that do not attend, `bottleneck` or `basic`.
      axial_expansions: of the axial blocks: bottleneck, keys and values per base width.
      memory_width: channels of the memory and of the class and mask features made from it.
      feed_forward_width: hidden channels in the dual-path blocks.
      drop_path_min_stride: blocks that read a smaller nominal stride never drop.
      semantic_stage: the stage whose activated result the auxiliary semantic branch reads.
      stages: in the order of execution; the backbone's come first.
    """

    stem_width: int
    three_conv_stem: bool
    conv_block: str
    axial_expansions: Tuple[int, int, int]
    memory_width: int
    feed_forward_width: int
    drop_path_min_stride: int
    semantic_stage: str
    stages: Tuple[StageSize, ...]

    @classmethod
    def of(cls, values: Sequence[Any]) -> MaXDeepLabSize:
        """The size whose fields are `values`, nested sequences as `get_config` holds them."""
        size = cls(*values)
        return size._replace(stages=tuple(StageSize(*stage) for stage in size.stages))

    def as_values(self) -> Tuple[Any, ...]:
        """Nested plain tuples, for `get_config`; the inverse of `of`."""
        return tuple(self._replace(stages=tuple(tuple(stage) for stage in self.stages)))

    def scaled(self, multiplier: float) -> MaXDeepLabSize:
        """All channels times `multiplier`; widths that attend stay multiples of the heads."""

        def scale(width: int, multiple: int = 1) -> int:
            if width == 0:
                return 0
            return max(1, round(width * multiplier / multiple)) * multiple

        stages = []
        for stage in self.stages:
            attends = stage.stride >= FIRST_AXIAL_STRIDE
            stages.append(
                stage._replace(
                    base_width=scale(stage.base_width, NUM_HEADS if attends else 1),
                    attention_width=scale(stage.attention_width, NUM_HEADS),
                )
            )
        return self._replace(
            stem_width=scale(self.stem_width),
            memory_width=scale(self.memory_width),
            feed_forward_width=scale(self.feed_forward_width),
            stages=tuple(stages),
        )


def drop_path_keep_prob(stride: int, *, min_stride: int, keep_prob: float) -> float:
    """Probability to keep the branches of a block; falls linearly with the log of the stride.

    Args:
      stride: nominal stride of what the block reads.
      min_stride: blocks below never drop.
      keep_prob: at stride 32.
    """
    if stride < min_stride:
        return 1.0
    return 1.0 - (1.0 - keep_prob) * (math.log2(stride) - 1.0) / 4.0


_S = (
    StageSize("stage2", 64, 3, 2, 4),
    StageSize("stage3", 128, 4, 4, 8),
    StageSize("stage4", 256, 6, 8, 16),
    StageSize("stage5", 512, 3, 16, 32, attention_width=128),
    StageSize("stage5_extra", 512, 1, 32, 32, attention_width=128, extra=True),
    StageSize("decoder_stage1_extra", 128, 1, 8, 8, ("stage3",), extra=True),
    StageSize("decoder_stage2_extra", 64, 1, 4, 4, ("stage2",), extra=True),
)
_L = (
    StageSize("stage1", 32, 3, 2, 2),
    StageSize("stage2", 64, 3, 2, 4),
    StageSize("stage3", 128, 6, 4, 8),
    StageSize("stage4", 256, 3, 8, 16, attention_width=128),
    StageSize("stage5", 512, 3, 16, 32, attention_width=256),
    StageSize("decoder_stage1", 128, 1, 8, 8, ("stage3",)),
    StageSize("decoder_stage2", 64, 1, 4, 4, ("stage2",)),
    StageSize("decoder_stage3", 128, 1, 8, 8, ("stage3", "decoder_stage1")),
    StageSize("decoder_stage4", 512, 1, 32, 32, ("stage5",), 256),
    StageSize("decoder_stage4_extra", 512, 3, 32, 32, (), 256, True),
    StageSize("decoder_stage5_extra", 128, 3, 8, 8, ("decoder_stage1", "decoder_stage3"), 0, True),
    StageSize("decoder_stage6_extra", 64, 3, 4, 4, ("stage2", "decoder_stage2"), 0, True),
    StageSize(
        "decoder_stage7_extra", 128, 3, 8, 8, ("decoder_stage3", "decoder_stage5_extra"), 0, True
    ),
    StageSize(
        "decoder_stage8_extra", 512, 3, 32, 32, ("stage5", "decoder_stage4_extra"), 256, True
    ),
    StageSize(
        "decoder_stage9_extra",
        128,
        3,
        8,
        8,
        ("decoder_stage5_extra", "decoder_stage7_extra"),
        0,
        True,
    ),
    StageSize(
        "decoder_stage10_extra", 64, 3, 4, 4, ("decoder_stage2", "decoder_stage6_extra"), 0, True
    ),
)

MAX_DEEPLAB_SIZES: Dict[str, MaXDeepLabSize] = {
    "max_deeplab_s": MaXDeepLabSize(
        stem_width=64,
        three_conv_stem=True,
        conv_block="bottleneck",
        axial_expansions=(2, 1, 2),
        memory_width=256,
        feed_forward_width=2048,
        drop_path_min_stride=16,
        semantic_stage="stage5",
        stages=_S,
    ),
    "max_deeplab_l": MaXDeepLabSize(
        stem_width=64,
        three_conv_stem=False,
        conv_block="basic",
        axial_expansions=(4, 2, 4),
        memory_width=512,
        feed_forward_width=2048,
        drop_path_min_stride=4,
        semantic_stage="decoder_stage6_extra",
        stages=_L,
    ),
}

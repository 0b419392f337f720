"""The types that travel between the parts of the library, and the letters used for shapes.

Letters, in every docstring:
  B batch          H W image height, width     h w feature-map height, width
  T thing rows     N target rows: T things first, then the stuff classes in ascending id
  Q mask slots     C classes without void      D channels
  K semantic channels: counts void where the ignore label lies inside (COCO 134, Cityscapes 19)

What crosses the border of the model is a dict with fixed keys (`Features`, `Targets`,
`EvalTargets`); everything else is a `NamedTuple`, which `tf.data`, `tf.function`, XLA,
strategies, Keras calls and SavedModel tracing all pass through unchanged.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Dict, NamedTuple, Optional, Tuple, TypedDict

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

FeaturePyramid = Dict[str, "tf.Tensor"]
"""`stage1`..`stage5` -> **raw** (not activated) feature [B, h, w, D] of a pixel encoder."""


class Sample(NamedTuple):
    """One decoded record.

    Attributes:
      image: uint8 [H, W, 3], RGB.
      panoptic: int32 [H, W], `class * label_divisor + instance`; instance 0 is stuff, void or
        crowd.
      image_id: int64 scalar, the index of the record in sorted file order.
    """

    image: tf.Tensor
    panoptic: tf.Tensor
    image_id: tf.Tensor


class Features(TypedDict):
    """All a model ever sees: `image`, float32 [B, H, W, 3] in 0..255."""

    image: tf.Tensor


class Targets(TypedDict):
    """What the losses compare with.

    Keys:
      semantic: int32 [B, H, W], data-set class id; void pixels hold the ignore label.
      semantic_weight: float32 [B, H, W].
      segment_id: int32 [B, H, W], the row of the pixel's segment; -1 = void or crowd.
      is_crowd: bool [B, H, W].
      segment_class: int32 [B, N], data-set class id of each row, -1 = no such segment.
      dropped_things: int32 [B], how many things became void because there were more than T.
      valid_size: int32 [B, 2], height and width of the unpadded image inside the crop.
      image_id: int64 [B].
    """

    semantic: tf.Tensor
    semantic_weight: tf.Tensor
    segment_id: tf.Tensor
    is_crowd: tf.Tensor
    segment_class: tf.Tensor
    dropped_things: tf.Tensor
    valid_size: tf.Tensor
    image_id: tf.Tensor


class EvalTargets(TypedDict):
    """Ground truth at the size of the image file; never resized, stays on the host.

    Keys:
      original_panoptic: int32 [B, H', W'], padded with void to the largest image of the batch;
        crowd regions keep `class * label_divisor`.
      original_size: int32 [B, 2].
    """

    original_panoptic: tf.Tensor
    original_size: tf.Tensor


class PixelFeatures(NamedTuple):
    """Output of a pixel decoder.

    Attributes:
      stages: stride name (`stride32`, `stride16`, `stride8`, ...) -> raw feature [B, h, w, D].
      per_pixel: [B, h, w, D], the feature the mask head reads.
    """

    stages: Dict[str, tf.Tensor]
    per_pixel: tf.Tensor


class MaskPrediction(NamedTuple):
    """One prediction of a set of masks.

    Attributes:
      class_logits: float32 [B, Q, C+1]; things in descriptor order, stuff ascending, void last.
      mask_logits: float32 [B, h, w, Q].
      pixel_embedding: float32 [B, h, w, D] or None.
    """

    class_logits: tf.Tensor
    mask_logits: tf.Tensor
    pixel_embedding: Optional[tf.Tensor] = None


class ModelOutput(NamedTuple):
    """Output of every model.

    Attributes:
      final: the prediction that post-processing reads.
      auxiliary: predictions of the decoder layers, resized (aligned corners) to `final`; `()` in
        inference.
      semantic_logits: float32 [B, h, w, K] or None.
      cluster_assignment: per decoder layer int32 [B, h, w], the slot of each pixel; only on
        request.
    """

    final: MaskPrediction
    auxiliary: Tuple[MaskPrediction, ...] = ()
    semantic_logits: Optional[tf.Tensor] = None
    cluster_assignment: Tuple[tf.Tensor, ...] = ()


class Assignment(NamedTuple):
    """Result of matching target rows with mask slots.

    Attributes:
      slot_of_segment: int32 [B, N]; meaningful only where `matched`.
      matched: bool [B, N].
      mask_similarity: float32 [B, N], dice of the matched pair, 0 elsewhere.
      class_similarity: float32 [B, N], probability of the row's class at its slot, 0 elsewhere.
    """

    slot_of_segment: tf.Tensor
    matched: tf.Tensor
    mask_similarity: tf.Tensor
    class_similarity: tf.Tensor


class PanopticPrediction(NamedTuple):
    """Output of every post-processor; maps at the size of the network's input.

    Attributes:
      panoptic: int32 [B, H, W], `class * label_divisor + instance`.
      semantic: int32 [B, H, W], data-set class id, from a threshold-free pass: never void.
      mask_id: int32 [B, H, W], 1 where nothing was accepted.
      instance_score: float32 [B, H, W].
      semantic_score: float32 [B, H, W].
      segment_class: int32 [B, Q], data-set class id; -1 unused.
      segment_id: int32 [B, Q], the segment's value in `panoptic`; -1 unused. Merged stuff is one
        row, its best slot.
      segment_score: float32 [B, Q].
    """

    panoptic: tf.Tensor
    semantic: tf.Tensor
    mask_id: tf.Tensor
    instance_score: tf.Tensor
    semantic_score: tf.Tensor
    segment_class: tf.Tensor
    segment_id: tf.Tensor
    segment_score: tf.Tensor


class Verdict(enum.IntEnum):
    """What post-processing does with a slot."""

    KEPT = 0
    NOT_CONFIDENT = 1
    """Its class confidence is below the threshold."""
    NO_PIXEL = 2
    """Nowhere is its mask probability above the threshold."""
    OVERLAPPED = 3
    """Better slots hold too much of its mask."""
    TOO_SMALL = 4
    """The segment that it would be, or be a part of, has too few pixels."""


class SlotDecisions(NamedTuple):
    """Why each slot became a segment or did not; explains a `PanopticPrediction`.

    Attributes:
      verdict: int32 [B, Q], values of `Verdict`.
      confidence: float32 [B, Q], probability of the best class, void left aside.
      class_id: int32 [B, Q], data-set id of that class.
      sees_nothing: bool [B, Q], void is likelier than any class.
      score: float32 [B, Q], the order of pasting.
      claimed_area: int32 [B, Q], pixels of the mask.
      free_area: int32 [B, Q], those of them that no better slot holds.
      segment_id: int32 [B, Q], value of the slot's pixels in the panoptic map; void where it is
        not kept.
      best_slot: int32 [B, H, W], the slot with the largest mask logit.
      best_probability: float32 [B, H, W], its mask probability.
    """

    verdict: tf.Tensor
    confidence: tf.Tensor
    class_id: tf.Tensor
    sees_nothing: tf.Tensor
    score: tf.Tensor
    claimed_area: tf.Tensor
    free_area: tf.Tensor
    segment_id: tf.Tensor
    best_slot: tf.Tensor
    best_probability: tf.Tensor


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What has to be known about a data set; read from JSON, written to `labels.json`.

    Attributes:
      name: for messages only; nothing depends on it.
      num_classes: channels of the semantic head (K); counts void where `ignore_label` is inside.
      ignore_label: class id of void; outside the classes: < 0, >= num_classes, or an id without
        a class (0 for COCO).
      label_divisor: D of `class * D + instance`.
      class_ids: data-set (contiguous) ids in ascending order, void not among them.
      names: one per class id.
      colors: RGB 0..255, one per class id.
      is_thing: one per class id.
      original_ids: the ids of the data set's own files, one per class id.
      void_ids: class ids that records hold too, but which are read as void.
    """

    name: str
    num_classes: int
    ignore_label: int
    label_divisor: int
    class_ids: Tuple[int, ...]
    names: Tuple[str, ...]
    colors: Tuple[Tuple[int, int, int], ...]
    is_thing: Tuple[bool, ...]
    original_ids: Tuple[int, ...]
    void_ids: Tuple[int, ...] = ()

    @property
    def thing_ids(self) -> Tuple[int, ...]:
        """Class ids of things, in descriptor (ascending) order."""
        return tuple(i for i, thing in zip(self.class_ids, self.is_thing) if thing)

    @property
    def stuff_ids(self) -> Tuple[int, ...]:
        """Class ids of stuff, ascending."""
        return tuple(i for i, thing in zip(self.class_ids, self.is_thing) if not thing)

    @property
    def channel_ids(self) -> Tuple[int, ...]:
        """Class id of each channel of the class head: things, then stuff; void comes after."""
        return self.thing_ids + self.stuff_ids

    @property
    def void_panoptic(self) -> int:
        """The value of void in a panoptic map."""
        return self.ignore_label * self.label_divisor

    def name_of(self, class_id: int) -> str:
        """Name of a data-set class id."""
        return self.names[self.class_ids.index(int(class_id))]

    def color_table(self) -> np.ndarray:
        """uint8 [max id + 1, 3]; rows without a class are black."""
        table = np.zeros((max(self.class_ids) + 1, 3), np.uint8)
        table[list(self.class_ids)] = self.colors
        return table

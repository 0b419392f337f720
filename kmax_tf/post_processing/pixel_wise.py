"""Pixel-wise post-processing (MaX-DeepLab): each pixel takes its best confident slot."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import tensorflow as tf

from kmax_tf.post_processing.decisions import slot_decisions
from kmax_tf.post_processing.merge import (
    SlotSegments,
    count_pixels,
    merge_slots,
    paint,
    slot_count,
)
from kmax_tf.post_processing.scores import ClassScores, class_scores
from kmax_tf.post_processing.semantic import semantic_map
from kmax_tf.post_processing.upsample import reduce_upsampled
from kmax_tf.shapes import Size
from kmax_tf.structures import (
    DatasetInfo,
    MaskPrediction,
    PanopticPrediction,
    SlotDecisions,
    Verdict,
)

# As in the reference implementation: far below any logit, yet finite.
_IGNORED_LOGIT = -99999.0


class _Assigned(NamedTuple):
    """What was decided about the pixels and slots of a batch.

    Attributes:
      classes: best class of each slot.
      any_slot: bool [B, 1, 1], whether any slot takes part.
      best_slot: int32 [B, H, W], the slot with the largest logit.
      slot: int32 [B, H, W], the best slot that takes part, Q = there is none.
      probability: float32 [B, H, W], that of the best slot that takes part, among those.
      assigned: int32 [B, H, W], `slot` where the pixel counts, Q elsewhere.
      area: int32 [B, Q], pixels that a slot holds.
      mask_id: int32 [B, Q], slot + 1.
      segments: what becomes of the slots.
    """

    classes: ClassScores
    any_slot: tf.Tensor
    best_slot: tf.Tensor
    slot: tf.Tensor
    probability: tf.Tensor
    assigned: tf.Tensor
    area: tf.Tensor
    mask_id: tf.Tensor
    segments: SlotSegments


class PixelWisePostProcessor:
    """Turns mask and class logits into a panoptic map, pixel by pixel.

    A slot takes part when its class confidence reaches `class_threshold`. A pixel is confident when
    its overall winner takes part and holds more than `pixel_threshold` of the probability among the
    slots that take part. The instance number of a thing is its slot + 1.

    Args:
      info: classes of the data set.
      class_threshold: smallest class confidence of a slot.
      pixel_threshold: a pixel counts above this probability.
      thing_area_limit: things with fewer pixels become void.
      stuff_area_limit: stuff classes with fewer pixels become void.
    """

    def __init__(
        self,
        info: DatasetInfo,
        *,
        class_threshold: float,
        pixel_threshold: float,
        thing_area_limit: int,
        stuff_area_limit: int,
    ) -> None:
        self.info = info
        self.class_threshold = class_threshold
        self.pixel_threshold = pixel_threshold
        self.thing_area_limit = thing_area_limit
        self.stuff_area_limit = stuff_area_limit

    def __call__(self, prediction: MaskPrediction, size: Sequence[Size]) -> PanopticPrediction:
        """Post-processes a batch.

        Args:
          prediction: class_logits float [B, Q, C+1] and mask_logits float [B, h, w, Q].
          size: (H, W) of the network's input.

        Returns:
          The `PanopticPrediction` with maps [B, H, W].
        """
        made = self._assign_all(prediction, size)
        classes, score = made.classes, tf.where(made.any_slot, made.probability, 0.0)
        return PanopticPrediction(
            panoptic=paint(made.assigned, made.segments.pixel_value, self.info.void_panoptic),
            semantic=semantic_map(made.best_slot, classes.channel, self.info.channel_ids),
            mask_id=paint(made.slot, made.mask_id, 1),
            instance_score=score,
            semantic_score=paint(made.slot, classes.confidence, 0.0),
            segment_class=made.segments.segment_class,
            segment_id=made.segments.segment_id,
            segment_score=made.segments.segment_score,
        )

    def explain(self, prediction: MaskPrediction, size: Sequence[Size]) -> SlotDecisions:
        """Why each slot is a part of what a call returns or is not; the arguments are the same."""
        made = self._assign_all(prediction, size)
        verdict = tf.where(made.area > 0, Verdict.TOO_SMALL, Verdict.NO_PIXEL)
        verdict = tf.where(self._takes_part(made.classes), verdict, Verdict.NOT_CONFIDENT)
        return slot_decisions(
            prediction,
            dropped=verdict,
            classes=made.classes,
            score=made.classes.confidence,
            claimed_area=made.area,
            free_area=made.area,  # Every pixel has one slot.
            pixel_value=made.segments.pixel_value,
            best_slot=made.best_slot,
            best_probability=made.probability,
            info=self.info,
        )

    def _assign_all(self, prediction: MaskPrediction, size: Sequence[Size]) -> _Assigned:
        classes = class_scores(prediction.class_logits)
        takes_part = self._takes_part(classes)
        best_slot, slot, score, confident = reduce_upsampled(
            tf.cast(prediction.mask_logits, tf.float32),
            per_slot=takes_part,
            size=size,
            function=self._winners,
            dtypes=(tf.int32, tf.int32, tf.float32, tf.bool),
        )
        num_slots = slot_count(classes.channel)
        any_slot = tf.reduce_any(takes_part, axis=1)[:, tf.newaxis, tf.newaxis]
        slot = tf.where(any_slot, slot, num_slots)
        assigned = tf.where(tf.logical_and(any_slot, confident), slot, num_slots)
        mask_id = tf.broadcast_to(tf.range(1, num_slots + 1), tf.shape(classes.channel))
        area = count_pixels(assigned, num_slots + 1)[:, :-1]
        segments = merge_slots(
            area=area,
            channel=classes.channel,
            mask_id=mask_id,
            score=classes.confidence,
            channel_ids=self.info.channel_ids,
            num_things=len(self.info.thing_ids),
            label_divisor=self.info.label_divisor,
            void_panoptic=self.info.void_panoptic,
            thing_area_limit=self.thing_area_limit,
            stuff_area_limit=self.stuff_area_limit,
        )
        return _Assigned(
            classes, any_slot, best_slot, slot, score, assigned, area, mask_id, segments
        )

    def _takes_part(self, classes: ClassScores) -> tf.Tensor:
        """bool [B, Q]: whether the class confidence of a slot suffices."""
        return classes.confidence >= self.class_threshold

    def _winners(
        self, logits: tf.Tensor, takes_part: tf.Tensor, best_slot: tf.Tensor
    ) -> Tuple[tf.Tensor, ...]:
        """Best slot, best slot that takes part, its probability, and whether the pixel counts.

        Args:
          logits: float32 [b, rows, W, Q].
          takes_part: bool [b, Q].
          best_slot: int32 [b, rows, W], the slot with the largest logit.

        Returns:
          int32, int32, float32 and bool [b, rows, W].
        """
        kept = tf.where(takes_part[:, tf.newaxis, tf.newaxis], logits, _IGNORED_LOGIT)
        probability = tf.reduce_max(tf.nn.softmax(kept), axis=-1)
        confident = tf.logical_and(
            probability > self.pixel_threshold,
            tf.equal(tf.reduce_max(kept, axis=-1), tf.reduce_max(logits, axis=-1)),
        )
        return (
            best_slot,
            tf.argmax(kept, axis=-1, output_type=tf.int32),
            probability,
            confident,
        )

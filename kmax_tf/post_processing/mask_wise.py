"""Mask-wise post-processing (kMaX-DeepLab, section 4.1): slots are pasted in order of score."""

from __future__ import annotations

import math
from typing import Callable, List, NamedTuple, Sequence, Tuple

import tensorflow as tf

from kmax_tf.post_processing.decisions import slot_decisions
from kmax_tf.post_processing.merge import (
    SlotSegments,
    count_pixels,
    merge_slots,
    paint,
    slot_count,
)
from kmax_tf.post_processing.scores import (
    ClassScores,
    class_scores,
    mean_mask_probability,
    ranking_scores,
)
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


class _Claims(NamedTuple):
    """Which slots claim a pixel. Probabilities sum to 1, so above 0.4 there are at most two.

    Attributes:
      slots: int32 [B, H, W] each, from likely to unlikely; Q where there is no further claim.
      best_slot: int32 [B, H, W], the likeliest slot, whether it claims the pixel or not.
      best_probability: float32 [B, H, W].
    """

    slots: List[tf.Tensor]
    best_slot: tf.Tensor
    best_probability: tf.Tensor


class _Pasted(NamedTuple):
    """What was decided about the slots of a batch.

    Attributes:
      classes: best class of each slot.
      score: float32 [B, Q].
      order: int32 [B, Q], slots by descending score.
      rank: int32 [B, Q], position of each slot in `order`.
      claims: on every pixel.
      claimed_area: int32 [B, Q], pixels of the mask.
      free_area: int32 [B, Q], those that no accepted slot before it holds.
      pasted_area: int32 [B, Q], the same, 0 where the slot is not accepted.
      segments: what becomes of the slots.
    """

    classes: ClassScores
    score: tf.Tensor
    order: tf.Tensor
    rank: tf.Tensor
    claims: _Claims
    claimed_area: tf.Tensor
    free_area: tf.Tensor
    pasted_area: tf.Tensor
    segments: SlotSegments


class MaskWisePostProcessor:
    """Turns mask and class logits into a panoptic map, slot by slot.

    Slots are sorted by `confidence ** class_weight * mask_probability ** mask_weight`. One after
    the other is pasted where nothing was pasted before, provided that its class confidence suffices
    and that more than `overlapping_threshold` of its mask is still free. The instance number of a
    thing is its rank, from 1.

    Args:
      info: classes of the data set.
      thing_threshold: smallest class confidence of a thing slot.
      stuff_threshold: smallest class confidence of a stuff slot.
      pixel_threshold: a slot claims a pixel above this probability.
      overlapping_threshold: share of a mask that has to be free.
      class_weight: exponent of the class confidence in the score.
      mask_weight: exponent of the mask probability in the score.
      thing_area_limit: things with fewer pixels become void.
      stuff_area_limit: stuff classes with fewer pixels become void.
    """

    def __init__(
        self,
        info: DatasetInfo,
        *,
        thing_threshold: float,
        stuff_threshold: float,
        pixel_threshold: float,
        overlapping_threshold: float,
        class_weight: float,
        mask_weight: float,
        thing_area_limit: int,
        stuff_area_limit: int,
    ) -> None:
        self.info = info
        self.thing_threshold = thing_threshold
        self.stuff_threshold = stuff_threshold
        self.pixel_threshold = pixel_threshold
        self.overlapping_threshold = overlapping_threshold
        self.class_weight = class_weight
        self.mask_weight = mask_weight
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
        made = self._paste_all(prediction, size)
        num_slots = slot_count(made.score)
        first = _first_rank(made.claims.slots, tf.where(made.pasted_area > 0, made.rank, num_slots))
        slot = paint(first, made.order, num_slots)
        nothing = self._nothing_confident(made.classes)[:, tf.newaxis, tf.newaxis]
        return PanopticPrediction(
            panoptic=paint(slot, made.segments.pixel_value, self.info.void_panoptic),
            semantic=semantic_map(
                made.claims.best_slot, made.classes.channel, self.info.channel_ids
            ),
            mask_id=paint(slot, made.rank + 1, 1),
            instance_score=tf.where(nothing, 0.0, made.claims.best_probability),
            semantic_score=paint(slot, made.classes.confidence, 0.0),
            segment_class=made.segments.segment_class,
            segment_id=made.segments.segment_id,
            segment_score=made.segments.segment_score,
        )

    def explain(self, prediction: MaskPrediction, size: Sequence[Size]) -> SlotDecisions:
        """Why each slot is a part of what a call returns or is not; the arguments are the same."""
        made = self._paste_all(prediction, size)
        verdict = tf.where(made.pasted_area > 0, Verdict.TOO_SMALL, Verdict.OVERLAPPED)
        verdict = tf.where(made.claimed_area > 0, verdict, Verdict.NO_PIXEL)
        verdict = tf.where(self._eligible(made.classes), verdict, Verdict.NOT_CONFIDENT)
        return slot_decisions(
            prediction,
            dropped=verdict,
            classes=made.classes,
            score=made.score,
            claimed_area=made.claimed_area,
            free_area=made.free_area,
            pixel_value=made.segments.pixel_value,
            best_slot=made.claims.best_slot,
            best_probability=made.claims.best_probability,
            info=self.info,
        )

    def _paste_all(self, prediction: MaskPrediction, size: Sequence[Size]) -> _Pasted:
        mask_logits = tf.cast(prediction.mask_logits, tf.float32)
        classes = class_scores(prediction.class_logits)
        score = ranking_scores(
            classes.confidence,
            mean_mask_probability(mask_logits, self.pixel_threshold),
            class_weight=self.class_weight,
            mask_weight=self.mask_weight,
        )
        order = tf.argsort(score, axis=1, direction="DESCENDING", stable=True)
        rank = tf.argsort(order, axis=1, stable=True)
        claims = self._claims(mask_logits, classes, size)
        accepted, free, area = self._paste(claims.slots, rank, self._eligible(classes))
        pasted_area = tf.where(accepted, free, 0)
        segments = merge_slots(
            area=pasted_area,
            channel=classes.channel,
            mask_id=rank + 1,
            score=score,
            channel_ids=self.info.channel_ids,
            num_things=len(self.info.thing_ids),
            label_divisor=self.info.label_divisor,
            void_panoptic=self.info.void_panoptic,
            thing_area_limit=self.thing_area_limit,
            stuff_area_limit=self.stuff_area_limit,
        )
        return _Pasted(classes, score, order, rank, claims, area, free, pasted_area, segments)

    def _eligible(self, classes: ClassScores) -> tf.Tensor:
        """bool [B, Q]: whether the class confidence of a slot suffices for its kind."""
        threshold = tf.where(
            classes.channel < len(self.info.thing_ids), self.thing_threshold, self.stuff_threshold
        )
        return classes.confidence >= threshold

    def _nothing_confident(self, classes: ClassScores) -> tf.Tensor:
        """bool [B]: no slot reaches either threshold, whatever its kind (as in the reference)."""
        smallest = min(self.thing_threshold, self.stuff_threshold)
        return tf.reduce_all(classes.confidence < smallest, axis=1)

    def _claims(
        self, mask_logits: tf.Tensor, classes: ClassScores, size: Sequence[Size]
    ) -> _Claims:
        """The claims on every pixel of the upsampled mask logits [B, h, w, Q]."""
        num_slots = slot_count(classes.channel)
        most = _most_claims(self.pixel_threshold, num_slots)

        def claims_of_band(
            logits: tf.Tensor, _: tf.Tensor, best_slot: tf.Tensor
        ) -> Tuple[tf.Tensor, ...]:
            probabilities = tf.nn.softmax(logits)
            best = tf.reduce_max(probabilities, axis=-1)
            first = tf.where(best > self.pixel_threshold, best_slot, num_slots)
            further = _further_claims(
                probabilities, best, first, most=most, threshold=self.pixel_threshold
            )
            return (best_slot, best, first, *further)

        best_slot, best_probability, *slots = reduce_upsampled(
            mask_logits,
            per_slot=classes.channel,
            size=size,
            function=claims_of_band,
            dtypes=(tf.int32, tf.float32) + (tf.int32,) * most,
        )
        return _Claims(slots=slots, best_slot=best_slot, best_probability=best_probability)

    def _paste(
        self, claimed: List[tf.Tensor], rank: tf.Tensor, eligible: tf.Tensor
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Decides which slots are accepted.

        Whether a slot is accepted depends only on the slots before it. Deciding all slots at once,
        from the last guess of all decisions, therefore settles at least one more rank per round and
        ends in the sequential result; in practice after a handful of rounds instead of Q.

        Args:
          claimed: int32 [B, H, W] each, slots that claim the pixel.
          rank: int32 [B, Q], position in the order of pasting.
          eligible: bool [B, Q], class confidence suffices.

        Returns:
          bool [B, Q], whether the slot is accepted; int32 [B, Q], pixels of its mask that no
          accepted slot before it holds; int32 [B, Q], all pixels of its mask.
        """
        area, count_free = _overlap_counter(claimed, rank)
        needed = self.overlapping_threshold * tf.cast(area, tf.float32)

        def decide(accepted: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
            free = count_free(accepted)
            return tf.logical_and(eligible, tf.cast(free, tf.float32) > needed), free

        def unsettled(accepted: tf.Tensor, previous: tf.Tensor) -> tf.Tensor:
            return tf.reduce_any(tf.not_equal(accepted, previous))

        def next_round(accepted: tf.Tensor, _: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
            return decide(accepted)[0], accepted

        start = tf.zeros_like(eligible)
        accepted, _ = tf.while_loop(unsettled, next_round, (decide(start)[0], start))
        return accepted, decide(accepted)[1], area


def _most_claims(pixel_threshold: float, num_slots: int) -> int:
    """How many slots can hold more than `pixel_threshold` of the probability of one pixel."""
    if pixel_threshold * num_slots <= 1:
        return num_slots
    return max(1, math.ceil(1 / pixel_threshold) - 1)


def _further_claims(
    probabilities: tf.Tensor,
    best: tf.Tensor,
    first: tf.Tensor,
    *,
    most: int,
    threshold: float,
) -> List[tf.Tensor]:
    """The claims after the first one; few pixels have any, and only those are looked at.

    XLA, whose shapes are fixed, makes room for all pixels instead.

    Args:
      probabilities: float32 [b, rows, W, Q], sum to 1.
      best: float32 [b, rows, W], the largest of them.
      first: int32 [b, rows, W], slot of the first claim, Q = none.
      most: claims of a pixel, the first one included.
      threshold: a slot claims a pixel above this probability.

    Returns:
      most - 1 tensors like `first`.
    """
    num_slots = probabilities.shape[-1]
    # What the best slot leaves over, and a little for rounding, has to be enough for another one.
    open_pixels = tf.where(tf.logical_and(best > threshold, best < 1.0 - threshold + 1e-4))
    rows = tf.gather_nd(probabilities, open_pixels)
    slot = tf.gather_nd(first, open_pixels)
    claims = []
    for _ in range(1, most):
        rows = tf.where(tf.range(num_slots) == slot[:, tf.newaxis], -1.0, rows)
        slot = tf.argmax(rows, axis=-1, output_type=tf.int32)
        claim = tf.where(tf.reduce_max(rows, axis=-1) > threshold, slot, num_slots)
        empty = tf.fill(tf.shape(first), num_slots)
        claims.append(tf.tensor_scatter_nd_update(empty, open_pixels, claim))
    return claims


def _first_rank(claimed: List[tf.Tensor], rank: tf.Tensor) -> tf.Tensor:
    """int32 [B, H, W]: smallest of `rank` [B, Q] among the pixel's claims; Q = none."""
    num_slots = slot_count(rank)
    first = paint(claimed[0], rank, num_slots)
    for slots in claimed[1:]:
        first = tf.minimum(first, paint(slots, rank, num_slots))
    return first


def _overlap_counter(
    claimed: List[tf.Tensor], rank: tf.Tensor
) -> Tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Area of every mask, and a function counting what accepted slots leave free of it.

    Args:
      claimed: int32 [B, H, W] each.
      rank: int32 [B, Q].

    Returns:
      int32 [B, Q], and (bool [B, Q] accepted) -> int32 [B, Q].
    """
    if len(claimed) <= 2:
        return _pair_counter(claimed, rank)
    num_slots = slot_count(rank)

    def count(keep: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        counts = [count_pixels(keep(slots), num_slots + 1)[:, :-1] for slots in claimed]
        return tf.add_n(counts)

    def count_free(accepted: tf.Tensor) -> tf.Tensor:
        first = _first_rank(claimed, tf.where(accepted, rank, num_slots))
        return count(
            lambda slots: tf.where(paint(slots, rank, num_slots) <= first, slots, num_slots)
        )

    return count(tf.identity), count_free


def _pair_counter(
    claimed: List[tf.Tensor], rank: tf.Tensor
) -> Tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """`_overlap_counter` for at most two claims per pixel.

    Then the pixels that a mask loses to earlier ones are the sum of its overlaps with each of them:
    one histogram over pairs of slots replaces all further passes over the pixels.
    """
    num_slots = slot_count(rank)
    bins = num_slots + 1
    second = claimed[1] if len(claimed) > 1 else tf.fill(tf.shape(claimed[0]), num_slots)
    pairs = tf.reshape(count_pixels(claimed[0] * bins + second, bins * bins), [-1, bins, bins])
    pairs = (pairs + tf.transpose(pairs, [0, 2, 1]))[:, :-1]
    area = tf.reduce_sum(pairs, axis=-1)
    earlier = rank[:, tf.newaxis] < rank[:, :, tf.newaxis]
    lost = tf.where(earlier, pairs[:, :, :-1], 0)

    def count_free(accepted: tf.Tensor) -> tf.Tensor:
        return area - tf.reduce_sum(tf.where(accepted[:, tf.newaxis], lost, 0), axis=-1)

    return area, count_free

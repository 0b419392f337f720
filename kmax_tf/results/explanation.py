"""Why a prediction is what it is: which slots became segments, which did not, and why."""

from __future__ import annotations

import dataclasses
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from kmax_tf.results.overlay import spoken_name
from kmax_tf.results.panoptic_result import PanopticResult
from kmax_tf.results.segments import format_table
from kmax_tf.structures import SlotDecisions, Verdict

UNSURE = len(Verdict)
"""Reason of a void pixel beside the verdicts: no mask is sure of it."""


class Limits(NamedTuple):
    """Thresholds of post-processing: class confidence of things and of stuff, mask probability of a
    pixel, share of a mask that has to be free, fewest pixels of a thing and of stuff."""

    thing: float
    stuff: float
    pixel: float
    overlap: float
    thing_area: int
    stuff_area: int


class Evidence(NamedTuple):
    """What the network and post-processing did with one image.

    Attributes:
      decisions: of its slots, arrays without batch; maps at the size of the image.
      stages: per decoder layer int32 [H, W], the slot of each pixel.
      stage_sizes: height and width that each of them was decided at.
      limits: thresholds.
    """

    decisions: SlotDecisions
    stages: Tuple[np.ndarray, ...]
    stage_sizes: Tuple[Tuple[int, int], ...]
    limits: Limits


@dataclasses.dataclass(frozen=True)
class Slot:
    """One slot.

    Attributes:
      number: of the slot, from 0.
      name: of its best class.
      is_thing: of that class.
      confidence: of that class.
      score: the order in which slots are pasted.
      area: pixels of its mask in the network's input.
      verdict: what became of it.
      sees_nothing: void is likelier than any class.
      segment_id: value of its pixels in the panoptic map; void where it is dropped.
      reason: of the verdict, in words.
    """

    number: int
    name: str
    is_thing: bool
    confidence: float
    score: float
    area: int
    verdict: Verdict
    sees_nothing: bool
    segment_id: int
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """A result and how it came about.

    Attributes:
      result: the prediction.
      evidence: what the network and post-processing did.
      slots: all slots, kept ones first, the best first.
    """

    result: PanopticResult
    evidence: Evidence
    slots: Tuple[Slot, ...]

    @property
    def kept(self) -> List[Slot]:
        """Slots that are a part of the result."""
        return [slot for slot in self.slots if slot.verdict == Verdict.KEPT]

    @property
    def dropped(self) -> List[Slot]:
        """Slots that saw something, but are no part of the result."""
        return [s for s in self.slots if s.verdict != Verdict.KEPT and not s.sees_nothing]

    @property
    def idle(self) -> List[Slot]:
        """Dropped slots for which void is the likeliest class: they saw nothing."""
        return [s for s in self.slots if s.verdict != Verdict.KEPT and s.sees_nothing]

    def void_reasons(self) -> np.ndarray:
        """Why pixels are void.

        Returns:
          int32 [H, W]: `Verdict.KEPT` where there is a segment; `UNSURE` where the best slot's mask
          probability is not above the threshold; else the verdict on the best slot.
        """
        decisions, result = self.evidence.decisions, self.result
        reason = decisions.verdict[decisions.best_slot]
        # A better slot took the pixel, and was too small in the end.
        reason = np.where(reason == Verdict.KEPT, Verdict.TOO_SMALL, reason)
        reason = np.where(decisions.best_probability > self.evidence.limits.pixel, reason, UNSURE)
        is_void = result.panoptic == result.info.void_panoptic
        return np.where(is_void, reason, Verdict.KEPT).astype(np.int32)


def explain_result(result: PanopticResult, evidence: Evidence) -> Explanation:
    """Puts the verdict on every slot into words.

    Args:
      result: of the image.
      evidence: of the same image.
    """
    decisions, info = evidence.decisions, result.info
    slots = []
    for number in range(len(decisions.verdict)):
        class_id = int(decisions.class_id[number])
        slot = Slot(
            number=number,
            name=info.name_of(class_id),
            is_thing=class_id in info.thing_ids,
            confidence=float(decisions.confidence[number]),
            score=float(decisions.score[number]),
            area=int(decisions.claimed_area[number]),
            verdict=Verdict(int(decisions.verdict[number])),
            sees_nothing=bool(decisions.sees_nothing[number]),
            segment_id=int(decisions.segment_id[number]),
        )
        reason = _reason(slot, int(decisions.free_area[number]), evidence.limits)
        slots.append(dataclasses.replace(slot, reason=reason))
    slots.sort(key=lambda slot: (slot.verdict != Verdict.KEPT, -slot.score, slot.number))
    return Explanation(result, evidence, tuple(slots))


def _reason(slot: Slot, free: int, limits: Limits) -> str:
    kind = "things" if slot.is_thing else "stuff"
    confidence = limits.thing if slot.is_thing else limits.stuff
    area = limits.thing_area if slot.is_thing else limits.stuff_area
    if slot.verdict == Verdict.NOT_CONFIDENT:
        return f"class confidence below {confidence:.2f}, the threshold of {kind}"
    if slot.verdict == Verdict.NO_PIXEL:
        return f"no pixel with a mask probability above {limits.pixel:.2f}"
    if slot.verdict == Verdict.OVERLAPPED:
        share, needed = 100 * free / max(slot.area, 1), 100 * limits.overlap
        return f"better slots leave {share:.0f}% of its mask, not more than {needed:.0f}%"
    if slot.verdict == Verdict.TOO_SMALL:
        return f"{free} pixels left, and {kind} must have {area}"
    return ""


def slot_rows(slots: Sequence[Slot]) -> List[Tuple[str, ...]]:
    """Cells of a table: a head, and slot, class, confidence, score, area, reason of each."""
    head = ("slot", "class", "confidence", "score", "mask", "dropped because")
    return [head] + [
        (
            str(slot.number),
            spoken_name(slot.name),
            f"{slot.confidence:.2f}",
            f"{slot.score:.2f}",
            f"{slot.area} px",
            slot.reason,
        )
        for slot in slots
    ]


def format_dropped(explanation: Explanation) -> str:
    """The dropped slots as a table for a terminal."""
    dropped, idle = explanation.dropped, explanation.idle
    summary = (
        f"{len(explanation.slots)} slots: {len(explanation.kept)} kept, {len(dropped)} dropped, "
        f"{len(idle)} saw nothing"
    )
    if not dropped:
        return summary
    table = format_table(slot_rows(dropped), to_right=(True, False, True, True, True, False))
    return f"{summary}\n{table}"

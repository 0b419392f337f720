"""One sheet that shows how a prediction came about, from the first clusters to what was dropped."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from kmax_tf.results.explanation import UNSURE, Explanation, Slot, slot_rows
from kmax_tf.results.fonts import font_for
from kmax_tf.results.legend import (
    INK,
    PALE_INK,
    PAPER,
    LegendEntry,
    draw_legend,
    fit_text,
    wrap_parts,
    write_lines,
)
from kmax_tf.results.overlay import draw_overlay, draw_segments, segment_colors, spoken_name
from kmax_tf.results.regions import paint_regions
from kmax_tf.results.restore import restore_map
from kmax_tf.results.segments import Segment
from kmax_tf.results.sheet import draw_grid, fit_picture, frame_strips, resize_picture
from kmax_tf.structures import Verdict

_PANEL_SIDE = 480  # the longer one
_MOST_COLUMNS = 5
_MOST_ROWS = 10  # of the table
_TITLE_SIZE, _NAME_SIZE, _FACTS_SIZE, _CELL_SIZE = 28, 20, 17, 17
_ROW_HEIGHT, _COLUMN_GAP = 27, 22
# Dark to light, and even to every kind of eye (viridis, at equal distances).
_SCALE = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64
)
# Reason of void pixels -> colour (Okabe and Ito), and words.
_REASONS: Dict[int, Tuple[Tuple[int, int, int], str]] = {
    UNSURE: ((86, 180, 233), "no mask is sure of the pixel"),
    Verdict.NOT_CONFIDENT: ((213, 94, 0), "its slot: class confidence too low"),
    Verdict.OVERLAPPED: ((230, 159, 0), "its slot: mask mostly taken by better ones"),
    Verdict.TOO_SMALL: ((204, 121, 167), "its segment: too few pixels"),
}


class _Panel(NamedTuple):
    picture: np.ndarray
    name: str
    facts: str


def draw_explain_sheet(explanation: Explanation) -> np.ndarray:
    """Draws the sheet of one image.

    Input; per decoder layer the slot of each pixel, in the colour of the final segment of the slot
    (grey where the slot became no segment); result; how sure the masks are; why pixels are void;
    and a table of the slots that saw something and were dropped.

    Args:
      explanation: of the image.

    Returns:
      uint8 [h, w, 3].
    """
    size = _size(explanation.result.image.shape)
    explanation = _reduce(explanation)
    result = explanation.result
    panels = [_Panel(result.image, "input", size)]
    panels += _stage_panels(explanation)
    overlay = draw_overlay(
        result.image,
        result.panoptic,
        result.info,
        result.segments,
        min_side=_shorter_side(result.image),
    )
    count = len(result.segments)
    panels.append(_Panel(overlay, "result", f"{count} segment{'' if count == 1 else 's'}"))
    panels += [_confidence_panel(explanation), _void_panel(explanation)]
    columns = min(_MOST_COLUMNS, -(-len(panels) // 2))
    tiles = [_draw_panel(panel) for panel in panels]
    grid = draw_grid(tiles, columns=columns, padding=18)
    inner = grid.shape[1] - 36
    head = [result.name, f"{len(explanation.kept)} of {len(explanation.slots)} slots kept"]
    head.append(f"{len(explanation.dropped)} dropped")
    head.append(f"{len(explanation.idle)} saw nothing")
    lines = wrap_parts(head, _TITLE_SIZE, inner)
    title = [write_lines(lines, inner, sizes=[_TITLE_SIZE] * len(lines))]
    below = [np.full((1, inner, 3), 225, np.uint8), *_draw_legends(explanation, inner)]
    below.append(_draw_table(explanation, inner))
    return np.concatenate([frame_strips(title, top=18), grid, frame_strips(below, top=0)])


def _reduce(explanation: Explanation) -> Explanation:
    """Image and maps no larger than a panel, so that names are written at their size."""
    result, evidence = explanation.result, explanation.evidence
    ratio = _PANEL_SIDE / max(result.image.shape[:2])
    if ratio >= 1:
        return explanation
    height, width = (max(1, round(side * ratio)) for side in result.image.shape[:2])
    maps = (result.panoptic, *evidence.stages)
    maps += (evidence.decisions.best_slot, evidence.decisions.best_probability)
    panoptic, *stages, slot, probability = (
        restore_map(each, each.shape, (height, width)) for each in maps
    )
    decisions = evidence.decisions._replace(best_slot=slot, best_probability=probability)
    image = resize_picture(result.image, (height, width))
    return dataclasses.replace(
        explanation,
        result=dataclasses.replace(result, image=image, panoptic=panoptic),
        evidence=evidence._replace(stages=tuple(stages), decisions=decisions),
    )


def _shorter_side(image: np.ndarray) -> int:
    """That of the panel of an image."""
    return round(_PANEL_SIDE * min(image.shape[:2]) / max(image.shape[:2]))


def _draw_panel(panel: _Panel) -> np.ndarray:
    picture = fit_picture(panel.picture, _PANEL_SIDE)
    width = picture.shape[1]
    lines = [fit_text(panel.name, _NAME_SIZE, width), fit_text(panel.facts, _FACTS_SIZE, width)]
    return np.concatenate([write_lines(lines, width, sizes=[_NAME_SIZE, _FACTS_SIZE]), picture])


def _stage_panels(explanation: Explanation) -> List[_Panel]:
    """Which slot each pixel belongs to after each decoder layer."""
    evidence, panels = explanation.evidence, []
    colors = _slot_colors(explanation)
    for number, (stage, size) in enumerate(zip(evidence.stages, evidence.stage_sizes), start=1):
        used = np.unique(stage)
        facts = f"at {_size(size)}: {len(used)} of {len(explanation.slots)} clusters used"
        name = f"clusters after layer {number} of {len(evidence.stages)}"
        panels.append(_Panel(_draw_stage(explanation, stage, colors), name, facts))
    return panels


def _draw_stage(
    explanation: Explanation, stage: np.ndarray, colors: Dict[int, Tuple[int, int, int]]
) -> np.ndarray:
    by_number = {slot.number: slot for slot in explanation.slots}
    used, areas = np.unique(stage, return_counts=True)
    segments, captions = [], []
    for number, area in zip(used.tolist(), areas.tolist()):
        slot = by_number[number]
        # Ids from 1: 0 would be void.
        box = (0, 0, 1, 1)
        segments.append(
            Segment(number + 1, 0, slot.name, slot.is_thing, slot.confidence, area, box)
        )
        kept = slot.verdict == Verdict.KEPT
        captions.append(spoken_name(slot.name) if kept else f"slot {number}")
    table = np.array([colors[number] for number in used.tolist()], np.uint8)

    def paint(canvas: np.ndarray, regions: np.ndarray, scale: int) -> np.ndarray:
        return paint_regions(canvas, regions, table, opacity=0.8, scale=scale)

    return draw_segments(
        explanation.result.image,
        stage + 1,
        segments,
        paint,
        captions=captions,
        colors=table,
        min_side=_shorter_side(explanation.result.image),
    )


def _slot_colors(explanation: Explanation) -> Dict[int, Tuple[int, int, int]]:
    """Slot -> colour of its segment; greys for slots without one."""
    result = explanation.result
    rows = zip(result.segments, segment_colors(result.segments, result.info).tolist())
    of_segment = {segment.segment_id: color for segment, color in rows}
    colors = {}
    for order, slot in enumerate(explanation.slots):
        # Neighbouring greys far apart, by the golden section.
        grey = round(80 + 130 * (order * 0.61803398875 % 1))
        colors[slot.number] = tuple(of_segment.get(slot.segment_id, (grey, grey, grey)))
    return colors


def _confidence_panel(explanation: Explanation) -> _Panel:
    """The mask probability of the best slot of each pixel."""
    probability = explanation.evidence.decisions.best_probability
    limit = explanation.evidence.limits.pixel
    below = 100 * (probability <= limit).mean()
    facts = f"best slot of each pixel: {below:.1f}% not above {limit:.2f}"
    return _Panel(_scale_colors(probability), "mask probability", facts)


def _void_panel(explanation: Explanation) -> _Panel:
    """Void pixels in the colour of the reason, on a pale grey image."""
    image = explanation.result.image
    reasons = explanation.void_reasons()
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    picture = np.repeat(255 - 0.5 * (255 - grey), 3, axis=-1).astype(np.uint8)
    for reason, (color, _) in _REASONS.items():
        picture[reasons == reason] = color
    share = 100 * (reasons != Verdict.KEPT).mean()
    return _Panel(picture, "void, and why", f"{share:.1f}% of the image")


def _draw_legends(explanation: Explanation, width: int) -> List[np.ndarray]:
    reasons = explanation.void_reasons()
    entries = [
        LegendEntry(_solid(color), f"{words}: {100 * (reasons == reason).mean():.1f}%")
        for reason, (color, words) in _REASONS.items()
        if (reasons == reason).any()
    ]
    limit = explanation.evidence.limits.pixel
    about_clusters = [
        "Clusters: a slot has the colour and name of the segment that it becomes",
        "a grey slot, with its number, becomes none",
    ]
    shades = [
        LegendEntry(_solid(_scale_colors(np.array([[value]]))[0, 0]), f"{value:.2f}")
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    lines = wrap_parts(about_clusters, _CELL_SIZE, width) if explanation.evidence.stages else []
    legends = [write_lines([line], width, sizes=[_CELL_SIZE]) for line in lines]
    legends += [draw_legend(shades, width, title=f"Mask probability (threshold {limit:.2f})")]
    if entries:
        legends.append(draw_legend(entries, width, title="Void, share of the image"))
    return legends


def _draw_table(explanation: Explanation, width: int) -> np.ndarray:
    """The dropped slots, those with the best scores."""
    dropped: Sequence[Slot] = explanation.dropped
    if not dropped:
        return write_lines(["No slot that saw something was dropped."], width, sizes=[_CELL_SIZE])
    title = "Dropped slots"
    if len(dropped) > _MOST_ROWS:
        title += f": the {_MOST_ROWS} best of {len(dropped)}"
    rows = slot_rows(dropped[:_MOST_ROWS])
    font = font_for("".join("".join(row) for row in rows), _CELL_SIZE)
    widths = [round(max(font.getlength(row[i]) for row in rows)) for i in range(len(rows[0]))]
    table = Image.new("RGB", (width, len(rows) * _ROW_HEIGHT), PAPER)
    draw = ImageDraw.Draw(table)
    for index, row in enumerate(rows):
        left = 1
        for column, (cell, cell_width) in enumerate(zip(row, widths)):
            to_right = column in (0, 2, 3, 4)
            place = (left + (cell_width if to_right else 0), (index + 0.5) * _ROW_HEIGHT)
            ink = INK if index else PALE_INK
            draw.text(place, cell, fill=ink, font=font, anchor="rm" if to_right else "lm")
            left += cell_width + _COLUMN_GAP
    head = write_lines([title], width, sizes=[_CELL_SIZE])
    return np.concatenate([head, np.asarray(table)])


def _scale_colors(share: np.ndarray) -> np.ndarray:
    """float [H, W] in 0..1 -> uint8 [H, W, 3]."""
    position = np.clip(share, 0, 1) * (len(_SCALE) - 1)
    lower = np.minimum(position.astype(int), len(_SCALE) - 2)
    rest = (position - lower)[..., np.newaxis]
    return np.rint(_SCALE[lower] * (1 - rest) + _SCALE[lower + 1] * rest).astype(np.uint8)


def _solid(color: Sequence[int]) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (18, 30, 3)).copy()


def _size(size: Sequence[int]) -> str:
    """As of pictures: width first."""
    return f"{size[1]} x {size[0]}"

"""What a network is fed, on one sheet: each image beside the targets drawn over it."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from kmax_tf.results.captions import write_captions
from kmax_tf.results.legend import (
    LegendEntry,
    draw_legend,
    fit_text,
    wrap_parts,
    write_lines,
)
from kmax_tf.results.overlay import segment_colors, spoken_name
from kmax_tf.results.regions import VOID, enlarge_regions, paint_regions, region_map
from kmax_tf.results.segments import Segment, find_segments
from kmax_tf.results.sheet import draw_grid, frame_strips, resize_picture
from kmax_tf.structures import DatasetInfo

_SMALLEST_PANEL, _LARGEST_PANEL = 480, 720  # shortest side enlarged to, longest side reduced to
_NARROWEST_TILE = 400
_SHEET_WIDTH = 3000
_GAP = 8  # between image and targets
_TITLE_SIZE, _NAME_SIZE, _FACTS_SIZE = 28, 20, 18
_OPACITY = 0.55
_PADDING_COLOR = (52, 60, 74)
_SUPERSAMPLING = 2


class TargetMaps(NamedTuple):
    """Training targets of one image.

    Attributes:
      semantic: int32 [H, W], class ids, void holds the ignore label.
      semantic_weight: float32 [H, W].
      segment_id: int32 [H, W], row of the pixel's segment; -1 void or crowd.
      is_crowd: bool [H, W].
      num_dropped: things that became void because there were too many.
    """

    semantic: np.ndarray
    semantic_weight: np.ndarray
    segment_id: np.ndarray
    is_crowd: np.ndarray
    num_dropped: int


class NetworkInput(NamedTuple):
    """One image as a network gets it, and where it comes from.

    Attributes:
      name: of the image file.
      image_id: index of the record.
      original_size: height and width of the image file.
      image: float32 [H, W, 3], 0..255.
      valid_size: height and width of the part that is not padding.
      targets: None where the data has no labels.
    """

    name: str
    image_id: int
    original_size: Tuple[int, int]
    image: np.ndarray
    valid_size: Tuple[int, int]
    targets: Optional[TargetMaps]


class LabelledMap(NamedTuple):
    """The targets of one image as segments.

    Attributes:
      ids: int [H, W], ids of the segments, of padding and of void.
      segments: the largest first; crowd regions have an id with instance 0.
      divisor: of `ids`: `class * divisor + instance`.
      padding_id: id of padding, that of no segment.
      weights: id -> weight, of segments that do not weigh 1.
    """

    ids: np.ndarray
    segments: List[Segment]
    divisor: int
    padding_id: int
    weights: Dict[int, float]

    def is_crowd(self, segment: Segment) -> bool:
        """Whether the segment is a crowd region: a thing class without instance."""
        return segment.is_thing and segment.segment_id % self.divisor == 0


def draw_input_sheet(
    inputs: Sequence[NetworkInput],
    info: DatasetInfo,
    *,
    title: Sequence[str],
    padding_value: float,
) -> np.ndarray:
    """Draws inputs in tiles, with a title above and a legend below.

    Args:
      inputs: all of one size.
      info: classes of the data set.
      title: parts of the title line.
      padding_value: pixel value of padding.

    Returns:
      uint8 [h, w, 3].

    Raises:
      ValueError: there is no input.
    """
    if not inputs:
        raise ValueError("`inputs` must hold at least one image; received none.")
    labelled = [label_targets(entry, info, padding_value=padding_value) for entry in inputs]
    bodies = [_draw_panels(entry, found, info) for entry, found in zip(inputs, labelled)]
    width = bodies[0].shape[1]
    columns = max(1, min(len(inputs), _SHEET_WIDTH // width, -(-len(inputs) // 2), 4))
    texts = [_describe(entry, found, info) for entry, found in zip(inputs, labelled)]
    lines = [
        [fit_text(name, _NAME_SIZE, width), *wrap_parts(facts, _FACTS_SIZE, width)]
        for name, facts in texts
    ]
    sizes = [_NAME_SIZE, *[_FACTS_SIZE] * (max(map(len, lines)) - 1)]
    # As tall as the longest, so that the pictures of a row are level.
    tiles = [
        np.concatenate([write_lines(text, width, sizes=sizes), body])
        for text, body in zip(lines, bodies)
    ]
    grid = draw_grid(tiles, columns=columns, padding=18)
    inner = grid.shape[1] - 36
    head = wrap_parts([*title, f"crop {_size(inputs[0].image.shape)}"], _TITLE_SIZE, inner)
    strips = [write_lines(head, inner, sizes=[_TITLE_SIZE] * len(head))]
    legend = [np.full((1, inner, 3), 225, np.uint8), *_draw_legends(labelled, info, inner)]
    return np.concatenate([frame_strips(strips, top=18), grid, frame_strips(legend, top=0)])


def label_targets(
    entry: NetworkInput, info: DatasetInfo, *, padding_value: float
) -> Optional[LabelledMap]:
    """The segments of the targets; None without labels.

    Args:
      entry: the image and its targets.
      info: classes of the data set.
      padding_value: void pixels of exactly this value are padding.
    """
    made = entry.targets
    if made is None:
        return None
    # Rows of segments are instance numbers here; the data set's divisor may be too small for them.
    divisor = int(made.segment_id.max()) + 3
    is_thing = np.isin(made.semantic, info.thing_ids)
    instance = np.where(is_thing & (made.segment_id >= 0), made.segment_id + 1, 0)
    is_void = made.semantic == info.ignore_label
    ids = made.semantic.astype(np.int64) * divisor + instance
    padding_id = info.ignore_label * divisor + divisor - 1
    is_padding = is_void & (entry.image == padding_value).all(axis=-1)
    ids = np.where(is_padding, padding_id, ids)
    rows = dataclasses.replace(info, label_divisor=divisor)
    weighted = made.semantic_weight != 1.0
    weights = dict(zip(ids[weighted].tolist(), made.semantic_weight[weighted].tolist()))
    segments = find_segments({"panoptic": ids}, rows)
    return LabelledMap(ids, segments, divisor, padding_id, weights)


def _draw_panels(
    entry: NetworkInput, found: Optional[LabelledMap], info: DatasetInfo
) -> np.ndarray:
    """Image and targets side by side, uint8 [h, w, 3]."""
    image = np.clip(np.rint(entry.image), 0, 255).astype(np.uint8)
    size = panel_size(image.shape[:2])
    panels = [resize_picture(image, size)]
    if found is not None:
        panels += [np.full((size[0], _GAP, 3), 255, np.uint8), draw_targets(panels[0], found, info)]
    body = np.concatenate(panels, axis=1)
    missing = max(0, _NARROWEST_TILE - body.shape[1])
    return np.pad(body, [(0, 0), (0, missing), (0, 0)], constant_values=255)


def draw_targets(image: np.ndarray, found: LabelledMap, info: DatasetInfo) -> np.ndarray:
    """Draws the targets over an image.

    Args:
      image: uint8 [h, w, 3], larger or smaller than the targets.
      found: the targets.
      info: classes of the data set.

    Returns:
      uint8 [h, w, 3].
    """
    height, width = image.shape[:2]
    regions = region_map(found.ids, found.segments)
    padding = len(found.segments) + 1
    regions[found.ids == found.padding_id] = padding
    regions = _reduce(regions, (height, width))
    canvas_size = (_SUPERSAMPLING * height, _SUPERSAMPLING * width)
    regions = enlarge_regions(regions, canvas_size)
    rows = dataclasses.replace(info, label_divisor=found.divisor)
    colors = np.concatenate(
        [segment_colors(found.segments, rows), np.array([_PADDING_COLOR], np.uint8)]
    )
    canvas = resize_picture(image, canvas_size)
    grey = np.asarray(Image.fromarray(canvas).convert("L"))[..., np.newaxis]
    canvas = np.where((regions == VOID)[..., np.newaxis], grey, canvas)
    canvas = paint_regions(canvas, regions, colors, opacity=_OPACITY, scale=_SUPERSAMPLING)
    canvas[regions == padding] = _PADDING_COLOR
    crowd = [i + 1 for i, segment in enumerate(found.segments) if found.is_crowd(segment)]
    weighted = [i + 1 for i, s in enumerate(found.segments) if s.segment_id in found.weights]
    canvas = _stripe(canvas, np.isin(regions, crowd))
    canvas = _dot(canvas, np.isin(regions, weighted))
    picture = np.asarray(Image.fromarray(canvas).resize((width, height), Image.Resampling.BOX))
    captions = [_caption(segment, found) for segment in found.segments] + ["padding"]
    return write_captions(picture, regions[::_SUPERSAMPLING, ::_SUPERSAMPLING], captions, colors)


def panel_size(size: Tuple[int, ...]) -> Tuple[int, int]:
    """Height and width at which an image of `size` is shown.

    Small images are enlarged by a whole number, large ones are reduced.
    """
    factor = min(-(-_SMALLEST_PANEL // min(size)), _LARGEST_PANEL // max(size))
    if factor >= 1:
        return size[0] * factor, size[1] * factor
    ratio = _LARGEST_PANEL / max(size)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _caption(segment: Segment, found: LabelledMap) -> str:
    name = spoken_name(segment.name)
    if found.is_crowd(segment):
        name += " (crowd)"
    weight = found.weights.get(segment.segment_id)
    return name if weight is None else f"{name} x{weight:g}"


def _describe(
    entry: NetworkInput, found: Optional[LabelledMap], info: DatasetInfo
) -> Tuple[str, List[str]]:
    """Name of a tile, and facts about it."""
    name = f"{entry.name or 'no file name'}   (image {entry.image_id})"
    facts = [
        f"file {_size(entry.original_size)}",
        f"fills {_size(entry.valid_size)} of the crop",
    ]
    made = entry.targets
    if found is None or made is None:
        return name, facts
    crowds = sum(map(found.is_crowd, found.segments))
    things = sum(segment.is_thing for segment in found.segments) - crowds
    facts.append(_count(things, "thing", "things"))
    facts.append(f"{sum(not segment.is_thing for segment in found.segments)} stuff")
    if crowds:
        facts.append(_count(crowds, "crowd region", "crowd regions"))
    if found.weights:
        facts.append(f"{len(found.weights)} weighted")
    if made.num_dropped:
        facts.append(f"{_count(made.num_dropped, 'thing', 'things')} too many, now void")
    padding = found.ids == found.padding_id
    void = (made.semantic == info.ignore_label) & ~padding
    facts.append(f"void {_percent(void)}")
    if padding.any():
        facts.append(f"padding {_percent(padding)}")
    return name, facts


def _size(size: Tuple[int, ...]) -> str:
    """As of pictures: width first."""
    return f"{size[1]} x {size[0]}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _percent(mask: np.ndarray) -> str:
    return f"{100 * mask.mean():.1f}%"


def _draw_legends(
    labelled: Sequence[Optional[LabelledMap]], info: DatasetInfo, width: int
) -> List[np.ndarray]:
    """Classes of things and of stuff that are on the sheet, and the patterns."""
    known = [found for found in labelled if found is not None]
    if not known:
        return [draw_legend([], width, title="The records have no labels: images only.")]
    first: Dict[int, Segment] = {}
    for found in known:
        for segment in found.segments:
            first.setdefault(segment.class_id, segment)
    shown = [first[class_id] for class_id in sorted(first)]
    colors = segment_colors(shown, info)
    legends = []
    for is_thing, title in ((True, "Things (each instance has its own shade)"), (False, "Stuff")):
        entries = [
            LegendEntry(_solid(color), segment.name)
            for segment, color in zip(shown, colors)
            if segment.is_thing == is_thing
        ]
        if entries:
            legends.append(draw_legend(entries, width, title=title))
    return [*legends, draw_legend(_pattern_entries(known), width, title="Marks")]


def _pattern_entries(known: Sequence[LabelledMap]) -> List[LegendEntry]:
    """Void always; the other patterns where they occur."""
    grey = np.full((72, 120, 3), 150, np.uint8)
    everywhere = np.ones(grey.shape[:2], bool)
    void = np.zeros(grey.shape[:2], np.int32)
    hatched = paint_regions(grey, void, np.zeros((0, 3), np.uint8), opacity=_OPACITY, scale=4)
    entries = [LegendEntry(hatched, "void: no segment")]
    if any((found.ids == found.padding_id).any() for found in known):
        entries.append(LegendEntry(_solid(_PADDING_COLOR), "padding: void outside the image"))
    if any(found.is_crowd(segment) for found in known for segment in found.segments):
        entries.append(LegendEntry(_stripe(grey, everywhere), "crowd: class without instances"))
    weights = sorted({weight for found in known for weight in found.weights.values()})
    if weights:
        times = ", ".join(f"x{weight:g}" for weight in weights)
        entries.append(
            LegendEntry(_dot(grey, everywhere), f"small thing: weighs {times} in the semantic loss")
        )
    return entries


def _solid(color: Sequence[int]) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (72, 120, 3)).copy()


def _stripe(canvas: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draws dark diagonal stripes where `mask` is set; against the direction of void's hatching."""
    rows, columns = np.indices(mask.shape, sparse=True)
    period = 14 * _SUPERSAMPLING
    on_stripe = mask & ((columns - rows) % period < 5 * _SUPERSAMPLING)
    return np.where(on_stripe[..., np.newaxis], (canvas * 0.35).astype(np.uint8), canvas)


def _dot(canvas: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draws white dots where `mask` is set."""
    rows, columns = np.indices(mask.shape, sparse=True)
    period = 9 * _SUPERSAMPLING
    row, column = rows % period - period // 2, columns % period - period // 2
    on_dot = mask & (row**2 + column**2 < (1.3 * _SUPERSAMPLING) ** 2)
    return np.where(on_dot[..., np.newaxis], np.uint8(255), canvas)


def _reduce(regions: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Takes rows and columns of a map so that it is not larger than `size`."""
    rows, columns = (
        np.arange(min(new, old)) * old // min(new, old) for new, old in zip(size, regions.shape)
    )
    return regions[rows[:, np.newaxis], columns]

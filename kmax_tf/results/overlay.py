"""Pictures of panoptic maps: coloured segments with outlines and names over the image."""

from __future__ import annotations

import colorsys
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from kmax_tf import labels
from kmax_tf.results.captions import write_captions
from kmax_tf.results.regions import enlarge_regions, paint_regions, region_map
from kmax_tf.results.segments import Segment, find_segments
from kmax_tf.results.sheet import add_title, draw_grid, resize_picture
from kmax_tf.structures import DatasetInfo

# Pictures up to this many pixels are drawn at twice their size and reduced, for smooth outlines.
_SUPERSAMPLE_PIXELS = 1_500_000
MAX_ENLARGED_SIDE = 2000


def draw_overlay(
    image: np.ndarray,
    panoptic: np.ndarray,
    info: DatasetInfo,
    segments: Optional[Sequence[Segment]] = None,
    *,
    opacity: float = 0.55,
    min_side: int = 480,
    show_names: bool = True,
    show_scores: bool = False,
) -> np.ndarray:
    """Draws the segments of a panoptic map over its image.

    Each segment has the colour of its class, instances in their own shade of it; thin outlines
    separate segments; void keeps the image under fine hatching. Small images are enlarged, so that
    names can be read.

    Args:
      image: uint8 [H, W, 3].
      panoptic: int [H, W], panoptic ids.
      info: classes of the data set.
      segments: of the map, where they were found already.
      opacity: of the colours, 0..1.
      min_side: the shorter side of the picture is at least this long.
      show_names: whether class names are written into segments.
      show_scores: whether scores follow the names, where segments have one.

    Returns:
      uint8 [H', W', 3], H' and W' at least H and W.

    Raises:
      ValueError: image and map have different sizes.
    """
    segments = find_segments({"panoptic": panoptic}, info) if segments is None else segments

    def paint(canvas: np.ndarray, regions: np.ndarray, scale: int) -> np.ndarray:
        return paint_regions(canvas, regions, colors, opacity=opacity, scale=scale)

    colors = segment_colors(segments, info)
    captions = [caption_of(segment, show_score=show_scores) for segment in segments]
    return draw_segments(
        image,
        panoptic,
        segments,
        paint,
        captions=captions if show_names else [],
        colors=colors,
        min_side=min_side,
    )


Paint = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(image uint8 [H, W, 3], regions int32 [H, W], how many pixels make one of the picture) ->
uint8 [H, W, 3]."""


def draw_segments(
    image: np.ndarray,
    panoptic: np.ndarray,
    segments: Sequence[Segment],
    paint: Paint,
    *,
    captions: Sequence[str],
    colors: np.ndarray,
    min_side: int,
) -> np.ndarray:
    """Paints the regions of a map smoothly at the size of the picture, and writes names into them.

    Args:
      image: uint8 [H, W, 3].
      panoptic: int [H, W], panoptic ids.
      segments: of the map.
      paint: draws the regions, which are numbered from 1 in the order of `segments`.
      captions: one per segment, or none at all.
      colors: uint8 [number of segments, 3], of the plates under the names.
      min_side: the shorter side of the picture is at least this long.

    Returns:
      uint8 [H', W', 3], H' and W' at least H and W.

    Raises:
      ValueError: image and map have different sizes.
    """
    image, panoptic = np.asarray(image), np.asarray(panoptic)
    if image.shape != (*panoptic.shape, 3):
        raise ValueError(
            f"`image` has to be uint8 [{panoptic.shape[0]}, {panoptic.shape[1]}, 3], the size of "
            f"`panoptic`; received {list(image.shape)}."
        )
    size = picture_size(panoptic.shape, min_side)
    scale = 2 if size[0] * size[1] <= _SUPERSAMPLE_PIXELS else 1
    canvas_size = (size[0] * scale, size[1] * scale)
    regions = enlarge_regions(region_map(panoptic, segments), canvas_size)
    canvas = resize_picture(image, canvas_size)
    picture = resize_picture(paint(canvas, regions, scale), size, how=Image.Resampling.BOX)
    if not captions:
        return picture
    return write_captions(picture, regions[::scale, ::scale], captions, colors)


def caption_of(segment: Segment, *, show_score: bool) -> str:
    """The name of a segment's class as people say it, with its score in percent on request."""
    name = spoken_name(segment.name)
    if show_score and segment.score is not None:
        name += f" {round(100 * segment.score)}%"
    return name


def spoken_name(name: str) -> str:
    """The class name as people say it: COCO's `wall-other-merged` is a wall."""
    for suffix in ("-merged", "-other", "-stuff"):
        name = name[: -len(suffix)] if name.endswith(suffix) else name
    return name.replace("_", " ").strip()


def segment_colors(segments: Sequence[Segment], info: DatasetInfo) -> np.ndarray:
    """A colour per segment: that of its class, instances told apart by lightness and hue.

    Args:
      segments: of one image.
      info: classes of the data set.

    Returns:
      uint8 [number of segments, 3]. The first instance of a class has its plain colour.
    """
    table = info.color_table()
    instances: Dict[int, List[int]] = {}
    for index, segment in enumerate(segments):
        instances.setdefault(segment.class_id, []).append(index)
    colors = np.zeros((len(segments), 3), np.uint8)
    for class_id, members in instances.items():
        # Numbered by instance, so that a segment keeps its colour when others appear or vanish.
        members.sort(
            key=lambda index: labels.instance_of(segments[index].segment_id, info.label_divisor)
        )
        for order, index in enumerate(members):
            colors[index] = _shade(table[class_id], order)
    return colors


def _shade(color: np.ndarray, order: int) -> Tuple[int, int, int]:
    """The `order`-th variation of a class colour; 0 is the colour itself, made visible."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(float(c) / 255 for c in color))
    # Very dark and very pale class colours would vanish into shadows and highlights.
    lightness = min(max(lightness, 0.34), 0.72)
    if order:
        turn = (order * 0.61803398875) % 1.0
        lightness += (0.16, -0.12, 0.08, -0.18, 0.22)[order % 5]
        hue += 0.06 * (turn - 0.5)
        saturation *= 0.85 + 0.3 * turn
    lightness = min(max(lightness, 0.26), 0.8)
    shade = colorsys.hls_to_rgb(hue % 1.0, lightness, min(saturation, 1.0))
    red, green, blue = (round(255 * channel) for channel in shade)
    return red, green, blue


def draw_comparison(
    image: np.ndarray,
    ground_truth: np.ndarray,
    prediction: np.ndarray,
    info: DatasetInfo,
    segments: Optional[Sequence[Segment]] = None,
    *,
    min_side: int = 480,
) -> np.ndarray:
    """Image, ground truth and prediction side by side, with titles.

    Args:
      image: uint8 [H, W, 3].
      ground_truth: int [H, W], panoptic ids.
      prediction: int [H, W], panoptic ids.
      info: classes of the data set.
      segments: of the prediction, where they were found already.
      min_side: the shorter side of each picture is at least this long.

    Returns:
      uint8 [H', W', 3].
    """
    plain = resize_picture(image, picture_size(image.shape[:2], min_side))
    panels = {
        "image": plain,
        "ground truth": draw_overlay(image, ground_truth, info, min_side=min_side),
        "prediction": draw_overlay(image, prediction, info, segments, min_side=min_side),
    }
    return draw_grid(
        [add_title(picture, title) for title, picture in panels.items()], columns=len(panels)
    )


def picture_size(size: Sequence[int], min_side: int) -> Tuple[int, int]:
    """Height and width of the picture: the smallest whole multiple of the image that suffices."""
    factor = max(1, -(-min_side // max(1, min(size))))
    # A thin image must not become a huge picture.
    factor = max(1, min(factor, MAX_ENLARGED_SIDE // max(size)))
    return size[0] * factor, size[1] * factor

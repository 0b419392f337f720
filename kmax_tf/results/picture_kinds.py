"""The pictures of one result: overlay, outlines, classes, instances."""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np

from kmax_tf import labels
from kmax_tf.palette import distinct_colors
from kmax_tf.results.overlay import (
    caption_of,
    draw_overlay,
    draw_segments,
    segment_colors,
    spoken_name,
)
from kmax_tf.results.regions import VOID, outline_regions, paint_regions
from kmax_tf.results.segments import Segment
from kmax_tf.structures import DatasetInfo

_MIN_SIDE = 480
_BACKGROUND = 0.45  # of the image that is left where no instance is


def draw_outlines(
    image: np.ndarray,
    panoptic: np.ndarray,
    info: DatasetInfo,
    segments: Sequence[Segment],
    *,
    show_scores: bool = False,
) -> np.ndarray:
    """The image as it is, with an outline around each segment and the class names.

    Args:
      image: uint8 [H, W, 3].
      panoptic: int [H, W], panoptic ids.
      info: classes of the data set.
      segments: of the map.
      show_scores: whether scores follow the names, where segments have one.

    Returns:
      uint8 [H', W', 3]; small images are enlarged.
    """
    colors = segment_colors(segments, info)

    def paint(canvas: np.ndarray, regions: np.ndarray, scale: int) -> np.ndarray:
        return outline_regions(canvas, regions, colors, scale=scale)

    captions = [caption_of(segment, show_score=show_scores) for segment in segments]
    return draw_segments(
        image, panoptic, segments, paint, captions=captions, colors=colors, min_side=_MIN_SIDE
    )


def draw_semantic(image: np.ndarray, semantic: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """The class of each pixel in the plain colour of the class, with names.

    Args:
      image: uint8 [H, W, 3]; its size is that of the map.
      semantic: int [H, W], class ids.
      info: classes of the data set.

    Returns:
      uint8 [H', W', 3]; small images are enlarged.
    """
    panoptic = labels.panoptic_id(np.asarray(semantic), 0, info.label_divisor)
    return draw_overlay(image, panoptic, info, opacity=1.0, min_side=_MIN_SIDE)


def draw_instances(
    image: np.ndarray,
    panoptic: np.ndarray,
    info: DatasetInfo,
    segments: Sequence[Segment],
    *,
    show_scores: bool = False,
) -> np.ndarray:
    """Each thing in a colour of its own, numbered per class, on a pale grey image.

    The colours do not name classes, but are as different as they can be.

    Args:
      image: uint8 [H, W, 3].
      panoptic: int [H, W], panoptic ids.
      info: classes of the data set.
      segments: of the map.
      show_scores: whether scores follow the names, where segments have one.

    Returns:
      uint8 [H', W', 3]; small images are enlarged.
    """
    things = [segment for segment in segments if segment.is_thing]
    # In the order of the map's ids, so that a segment keeps number and colour in another order.
    things.sort(key=lambda segment: segment.segment_id)
    colors = np.array(distinct_colors(len(things)), np.uint8).reshape(-1, 3)
    count: Dict[int, int] = {}
    captions = []
    for thing in things:
        number = count[thing.class_id] = count.get(thing.class_id, 0) + 1
        name = spoken_name(thing.name)
        captions.append(caption_of(thing, show_score=show_scores).replace(name, f"{name} {number}"))

    def paint(canvas: np.ndarray, regions: np.ndarray, scale: int) -> np.ndarray:
        painted = paint_regions(canvas, regions, colors, opacity=0.75, scale=scale)
        grey = canvas.astype(np.float32).mean(axis=-1, keepdims=True)
        pale = np.rint(255 - _BACKGROUND * (255 - grey)).astype(np.uint8)
        return np.where((regions == VOID)[..., np.newaxis], pale, painted)

    return draw_segments(
        image, panoptic, things, paint, captions=captions, colors=colors, min_side=_MIN_SIDE
    )

"""Colours, outlines and hatching of the regions of a picture."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
from PIL import Image, ImageFilter

from kmax_tf.results.segments import Segment

VOID = 0
"""Region number of pixels that belong to no segment."""


def region_map(panoptic: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """Replaces panoptic ids by the position of their segment.

    Args:
      panoptic: int [H, W], panoptic ids.
      segments: of the map.

    Returns:
      int32 [H, W], position in `segments` + 1; `VOID` for ids that are not listed.
    """
    ids, index = np.unique(panoptic, return_inverse=True)
    position = {segment.segment_id: i + 1 for i, segment in enumerate(segments)}
    table = np.array([position.get(int(i), VOID) for i in ids], np.int32)
    return table[index].reshape(panoptic.shape)


def enlarge_regions(regions: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Enlarges a region map with smooth borders instead of staircases.

    Each pixel takes the region with the largest smoothly interpolated share.

    Args:
      regions: int32 [h, w].
      size: (H, W), not smaller.

    Returns:
      int32 [H, W].
    """
    if regions.shape == tuple(size):
        return regions
    height, width = size
    nearest = Image.fromarray(regions).resize((width, height), Image.Resampling.NEAREST)
    result = np.array(nearest)
    best = np.zeros(size, np.uint8)
    # Without the blur, the staircase of the small map shows through the interpolation.
    blur = ImageFilter.GaussianBlur(0.6 * height / regions.shape[0])
    for region in np.unique(regions):
        mask = Image.fromarray(np.where(regions == region, 255, 0).astype(np.uint8))
        share = np.asarray(mask.resize((width, height), Image.Resampling.BICUBIC).filter(blur))
        better = share > best
        result[better] = region
        best[better] = share[better]
    return result


def paint_regions(
    image: np.ndarray, regions: np.ndarray, colors: np.ndarray, *, opacity: float, scale: int
) -> np.ndarray:
    """Lays translucent colours over an image and draws the outlines of the regions.

    Args:
      image: uint8 [H, W, 3].
      regions: int32 [H, W].
      colors: uint8 [number of segments, 3], of the regions from 1.
      opacity: of the colours, 0..1.
      scale: how many pixels make one pixel of the finished picture.

    Returns:
      uint8 [H, W, 3].
    """
    pixels = image.astype(np.float32)
    # Grey below the colours: otherwise a blue sky under a red label turns purple.
    grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., np.newaxis]
    table = np.concatenate([np.zeros((1, 3)), colors]).astype(np.float32)
    color = table[regions]
    tinted = (0.5 * pixels + 0.5 * grey) * (1 - opacity) + color * opacity
    is_void = (regions == VOID)[..., np.newaxis]
    painted = np.where(is_void, _hatch(pixels, scale), tinted)
    return outline_regions(painted, regions, colors, scale=scale)


def outline_regions(
    picture: np.ndarray, regions: np.ndarray, colors: np.ndarray, *, scale: int
) -> np.ndarray:
    """Draws a light line between regions, with a rim in the colour of the region on either side.

    Args:
      picture: uint8 or float32 [H, W, 3], 0..255.
      regions: int32 [H, W].
      colors: uint8 [number of segments, 3], of the regions from 1.
      scale: how many pixels make one pixel of the finished picture.

    Returns:
      uint8 [H, W, 3].
    """
    painted = picture.astype(np.float32)
    color = np.concatenate([np.zeros((1, 3)), colors]).astype(np.float32)[regions]
    is_void = (regions == VOID)[..., np.newaxis]
    edge = _region_edges(regions)
    rim = dilate(edge, round(2.2 * scale))
    line = dilate(edge, max(1, round(0.5 * scale)) - 1)
    solid = np.where(is_void, painted * 0.7, color * 0.82)
    painted = np.where(rim[..., np.newaxis], 0.15 * painted + 0.85 * solid, painted)
    painted = np.where(line[..., np.newaxis], 0.08 * painted + 0.92 * 255.0, painted)
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8)


def dilate(mask: np.ndarray, steps: int) -> np.ndarray:
    """Grows a mask bool [H, W] by `steps` pixels, in turn over 4 and 8 neighbours."""
    for step in range(steps):
        padded = np.pad(mask, 1)
        rows = padded[:-2] | padded[1:-1] | padded[2:]
        if step % 2:
            mask = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        else:
            mask = rows[:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def _region_edges(regions: np.ndarray) -> np.ndarray:
    """bool [H, W]: the pixels on both sides of a border between regions."""
    edges = np.zeros(regions.shape, bool)
    vertical = regions[1:] != regions[:-1]
    horizontal = regions[:, 1:] != regions[:, :-1]
    edges[1:] |= vertical
    edges[:-1] |= vertical
    edges[:, 1:] |= horizontal
    edges[:, :-1] |= horizontal
    return edges


def _hatch(pixels: np.ndarray, scale: int) -> np.ndarray:
    """The image under fine diagonal lines."""
    height, width = pixels.shape[:2]
    diagonal = np.arange(height)[:, np.newaxis] + np.arange(width)
    on_line = (diagonal % (9 * scale)) < 1.3 * scale
    paler = 0.72 * pixels + 0.28 * 255.0
    return np.where(on_line[..., np.newaxis], paler, 0.88 * pixels)

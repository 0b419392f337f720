"""Draws the scenes of the embedded data set: shapes (things) on a landscape (stuff).

One scene is a function of its random generator and of `SceneOptions`, nothing else. Coordinates of
a shape are (u, v), rotated and divided by its radius, so every outline lives in the unit disc.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from kmax_tf.data.converters import shapes_surfaces

VOID = 0
"""Segment number of void in `Scene.segments`."""


@dataclasses.dataclass(frozen=True)
class SceneOptions:
    """What decides how hard the data set is.

    Attributes:
      size: height and width of the images.
      objects: fewest and most objects of an ordinary scene.
      radius: range of their radii in pixels, drawn log-uniformly.
      busy_share: share of scenes with many small objects.
      busy_objects: fewest and most objects of a busy scene.
      busy_radius: range of their radii.
      tiny_share: share of the objects of ordinary scenes that are tiny.
      tiny_radius: range of their radii.
      huge_share: share of the objects of ordinary scenes that are huge.
      huge_radius: range of their radii.
      class_hue_share: share of objects whose hue tells their class; the others have any hue.
      hue_spread: standard deviation of the hue around that of the class, in degrees.
      neighbour_share: share of objects placed beside the one before, with its class.
      max_covered: most of an earlier object that a later one may hide.
      crowd_share: share of scenes with a crowd region.
      void_share: share of scenes with an unlabelled rectangle.
      sky_share: share of scenes that show the sky.
      min_visible: visible pixels below which an object is void.
      noise: range of the standard deviation of the pixel noise, in grey levels.
    """

    size: int = 129
    objects: Tuple[int, int] = (1, 6)
    radius: Tuple[float, float] = (12.0, 28.0)
    busy_share: float = 0.1
    busy_objects: Tuple[int, int] = (10, 14)
    busy_radius: Tuple[float, float] = (9.0, 13.0)
    tiny_share: float = 0.04
    tiny_radius: Tuple[float, float] = (4.0, 7.0)
    huge_share: float = 0.06
    huge_radius: Tuple[float, float] = (34.0, 46.0)
    class_hue_share: float = 0.88
    hue_spread: float = 8.0
    neighbour_share: float = 0.15
    max_covered: float = 0.35
    crowd_share: float = 0.05
    void_share: float = 0.17
    sky_share: float = 0.9
    min_visible: int = 24
    noise: Tuple[float, float] = (3.0, 9.0)


class Segment(NamedTuple):
    """One segment of a scene: its number in `Scene.segment_map`, class name and crowd flag."""

    number: int
    class_name: str
    is_crowd: bool


class Scene(NamedTuple):
    """A drawn scene.

    Attributes:
      image: uint8 [size, size, 3].
      segment_map: int32 [size, size], number of the segment of each pixel, `VOID` in none.
      segments: the segments that have pixels.
    """

    image: np.ndarray
    segment_map: np.ndarray
    segments: List[Segment]


class _Canvas:
    """A scene in the making: float32 image in 0..1, segment numbers, classes of the segments."""

    def __init__(self, options: SceneOptions, rng: np.random.Generator) -> None:
        self.options = options
        self.rng = rng
        self.image = np.zeros((options.size, options.size, 3), np.float32)
        self.segment_map = np.zeros((options.size, options.size), np.int32)
        self.segments: Dict[int, Segment] = {}

    def add_segment(self, class_name: str, is_crowd: bool = False) -> int:
        number = len(self.segments) + 1
        self.segments[number] = Segment(number, class_name, is_crowd)
        return number


def draw_scene(options: SceneOptions, rng: np.random.Generator) -> Scene:
    """Draws one scene; all random numbers come from `rng`."""
    canvas = _Canvas(options, rng)
    _draw_landscape(canvas)
    if rng.random() < options.crowd_share:
        _draw_crowd(canvas)
    _draw_objects(canvas)
    if rng.random() < options.void_share:
        _draw_void(canvas)
    _light(canvas)
    numbers, counts = np.unique(canvas.segment_map, return_counts=True)
    visible = []
    for number, count in zip(numbers.tolist(), counts.tolist()):
        if number == VOID:
            continue
        if count < options.min_visible:
            canvas.segment_map[canvas.segment_map == number] = VOID
        else:
            visible.append(canvas.segments[number])
    image = np.clip(np.rint(canvas.image * 255), 0, 255).astype(np.uint8)
    return Scene(image, canvas.segment_map, visible)


def _draw_landscape(canvas: _Canvas) -> None:
    """Sky above one or two kinds of ground, with wavy borders."""
    rng, size = canvas.rng, canvas.options.size
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    has_sky = rng.random() < canvas.options.sky_share
    horizon = rng.uniform(0.25, 0.5) if has_sky else -1.0
    horizon_line = horizon + _wave(rng, columns)
    grounds = rng.permutation(["grass", "water", "sand"])[: 1 + int(rng.random() < 0.6)]
    regions = [(np.ones_like(rows, bool), grounds[0])]
    if len(grounds) == 2:
        if rng.random() < 0.5:  # the second ground lies before the first ...
            border = rng.uniform(max(horizon, 0.1) + 0.2, 0.85) + _wave(rng, columns)
            regions.append((rows > border, grounds[1]))
        else:  # ... or beside it
            border = (
                rng.uniform(0.3, 0.7) + _wave(rng, rows) + rng.uniform(-0.4, 0.4) * (rows - 0.6)
            )
            regions.append((columns > border, grounds[1]))
    if has_sky:
        regions.append((rows < horizon_line, "sky"))
    for mask, class_name in regions:
        number = canvas.add_segment(str(class_name))
        canvas.segment_map[mask] = number
        canvas.image[mask] = shapes_surfaces.STUFF[str(class_name)](rng, rows, columns)[mask]


def _wave(rng: np.random.Generator, position: np.ndarray) -> np.ndarray:
    """A smooth random curve over `position` (any shape, 0..1), a few per cent high."""
    slow, fast = rng.uniform(3, 9), rng.uniform(12, 25)
    shift = rng.uniform(0, 2 * np.pi, 2)
    return 0.03 * np.sin(slow * position + shift[0]) + 0.01 * np.sin(fast * position + shift[1])


def _draw_objects(canvas: _Canvas) -> None:
    """Things, later ones in front; no earlier one loses more than `max_covered` of its pixels."""
    options, rng = canvas.options, canvas.rng
    busy = rng.random() < options.busy_share
    fewest, most = options.busy_objects if busy else options.objects
    previous = None
    for _ in range(rng.integers(fewest, most + 1)):
        for _attempt in range(12):
            class_name = str(rng.choice(shapes_surfaces.THINGS))
            radius = _draw_radius(options, rng, busy)
            center = rng.uniform(0.05, 0.95, 2) * options.size
            if previous is not None and rng.random() < options.neighbour_share:
                class_name, direction = previous[0], rng.uniform(0, 2 * np.pi)
                reach = 0.95 * (radius + previous[2])
                center = previous[1] + reach * np.array([np.sin(direction), np.cos(direction)])
            patch = _outline(class_name, center, radius, rng.uniform(0, 2 * np.pi), options.size)
            if patch is not None and _fits(canvas, patch):
                _paint(canvas, class_name, patch, canvas.add_segment(class_name))
                previous = (class_name, center, radius)
                break


def _draw_radius(options: SceneOptions, rng: np.random.Generator, busy: bool) -> float:
    """A radius in pixels: ordinary, tiny or huge; all small in a busy scene."""
    kind = rng.random()
    if busy:
        bounds = options.busy_radius
    elif kind < options.tiny_share:
        bounds = options.tiny_radius
    elif kind < options.tiny_share + options.huge_share:
        bounds = options.huge_radius
    else:
        bounds = options.radius
    return float(np.exp(rng.uniform(*np.log(bounds))))


class _Patch(NamedTuple):
    """The part of the canvas a shape touches.

    Attributes:
      window: rows and columns of the canvas.
      u, v: float32 [rows, columns], the shape's own coordinates.
      alpha: float32 [rows, columns], covered share of each pixel.
      rim: float32 [rows, columns], share covered by the outer rim.
    """

    window: Tuple[slice, slice]
    u: np.ndarray
    v: np.ndarray
    alpha: np.ndarray
    rim: np.ndarray


_SUPERSAMPLING = 3


def _outline(class_name: str, center: np.ndarray, radius: float, angle: float, size: int):
    """Rasterises a shape with smooth edges; returns a `_Patch`, or None if it is outside."""
    low = np.clip(np.floor(center - radius - 1), 0, size).astype(int)
    high = np.clip(np.ceil(center + radius + 2), 0, size).astype(int)
    if np.any(high - low < 4):
        return None
    offsets = (np.arange(_SUPERSAMPLING) + 0.5) / _SUPERSAMPLING - 0.5
    rows, columns = (
        ((np.arange(low[axis], high[axis])[:, None] + offsets).ravel() - center[axis]) / radius
        for axis in (0, 1)
    )
    y, x = rows[:, None], columns[None, :]
    u = (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)
    v = (np.cos(angle) * y - np.sin(angle) * x).astype(np.float32)
    inside = shapes_surfaces.OUTLINES[class_name](u, v)
    margin = 1 + 1.6 / radius
    core = inside & shapes_surfaces.OUTLINES[class_name](u * margin, v * margin)
    middle = _SUPERSAMPLING // 2
    coarse = (slice(middle, None, _SUPERSAMPLING),) * 2
    alpha, alpha_core = _pool(inside), _pool(core)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    return _Patch(window, u[coarse], v[coarse], alpha, alpha - alpha_core)


def _pool(mask: np.ndarray) -> np.ndarray:
    """Share of set samples in each pixel: bool [3 h, 3 w] -> float32 [h, w]."""
    height, width = (side // _SUPERSAMPLING for side in mask.shape)
    blocks = mask.reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _fits(canvas: _Canvas, patch: _Patch) -> bool:
    """Whether enough of every thing that `patch` would cover stays visible."""
    covered = canvas.segment_map[patch.window][patch.alpha > 0.5]
    if covered.size < canvas.options.min_visible:
        return False
    hidden = np.bincount(covered, minlength=len(canvas.segments) + 1)
    for number in np.flatnonzero(hidden).tolist():
        segment = canvas.segments.get(number)
        if segment is None or segment.class_name not in shapes_surfaces.THINGS:
            continue
        visible = np.count_nonzero(canvas.segment_map == number)
        if segment.is_crowd or hidden[number] > canvas.options.max_covered * visible:
            return False
    return True


def _paint(canvas: _Canvas, class_name: str, patch: _Patch, number: int) -> None:
    """Blends a shape into the image and writes its segment number."""
    rng, options = canvas.rng, canvas.options
    hue = rng.uniform(0, 360)
    if rng.random() < options.class_hue_share:
        hue = shapes_surfaces.HUES[class_name] + options.hue_spread * rng.standard_normal()
    saturation, value = rng.uniform(0.75, 1.0, 2)
    color = np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    shade = 1 + 0.18 * (np.sin(direction) * patch.u + np.cos(direction) * patch.v)
    pattern = shapes_surfaces.PATTERNS[class_name](patch.u, patch.v)
    rim = patch.rim / np.maximum(patch.alpha, 1e-3)
    surface = color * (shade * pattern * (1 - 0.55 * rim))[..., None]
    alpha = patch.alpha[..., None]
    region = canvas.image[patch.window]
    canvas.image[patch.window] = region + alpha * (np.clip(surface, 0, 1) - region)
    canvas.segment_map[patch.window][patch.alpha > 0.5] = number


def _draw_crowd(canvas: _Canvas) -> None:
    """A cluster of tiny shapes of one class, too close to be told apart: one crowd segment."""
    rng, options = canvas.rng, canvas.options
    class_name = str(rng.choice(shapes_surfaces.THINGS))
    number = canvas.add_segment(class_name, is_crowd=True)
    center = rng.uniform(0.25, 0.75, 2) * options.size
    for _ in range(rng.integers(8, 15)):
        place = center + rng.normal(0, 9, 2)
        radius = rng.uniform(4, 6)
        patch = _outline(class_name, place, radius, rng.uniform(0, 2 * np.pi), options.size)
        if patch is not None:
            _paint(canvas, class_name, patch, number)


def _draw_void(canvas: _Canvas) -> None:
    """An unlabelled rectangle of coloured noise, in front of everything."""
    rng, size = canvas.rng, canvas.options.size
    height, width = rng.integers(size // 9, size // 4, 2)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    window = (slice(top, top + height), slice(left, left + width))
    canvas.image[window] = rng.uniform(0.1, 0.9, (height, width, 3)).astype(np.float32)
    canvas.segment_map[window] = VOID


def _light(canvas: _Canvas) -> None:
    """Lighting gradient, contrast, a tint and pixel noise, over the whole image."""
    rng, size = canvas.rng, canvas.options.size
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    direction = rng.uniform(0, 2 * np.pi)
    gradient = np.sin(direction) * rows + np.cos(direction) * columns
    light = rng.uniform(0.85, 1.1) * (1 + rng.uniform(0, 0.35) * gradient)
    tint = rng.uniform(0.95, 1.05, 3).astype(np.float32)
    noise = rng.standard_normal((size, size, 3), np.float32)
    strength = np.float32(rng.uniform(*canvas.options.noise) / 255)
    canvas.image = canvas.image * light[..., None].astype(np.float32) * tint + strength * noise

"""Outlines, surface patterns and hues of the drawn shapes, and the textures of the landscape.

Outlines map a shape's coordinates (float32 arrays u, v, the unit disc) to bool; patterns map them
to a brightness factor; textures return float32 [h, w, 3] in 0..1 for coordinates in 0..1.
"""

from __future__ import annotations

import colorsys

import numpy as np

THINGS = ("circle", "square", "triangle", "star", "ring", "cross")

HUES = {"circle": 8, "square": 248, "triangle": 68, "star": 308, "ring": 128, "cross": 188}
"""Degrees, 60 apart."""


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u * u + v * v < 1


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) < 0.71


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    side = np.float32(np.sqrt(3) / 2)
    return (v > -0.5) & (side * u + 0.5 * v < 0.5) & (-side * u + 0.5 * v < 0.5)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points: each tenth of the turn is a straight line from the tip to the inner corner."""
    tip, corner = 1.0, 0.48
    turn = np.pi / 5
    angle = np.abs(np.mod(np.arctan2(u, v) + turn, 2 * turn) - turn)
    reach = np.hypot(u, v)
    x, y = reach * np.cos(angle), reach * np.sin(angle)
    corner_x, corner_y = corner * np.cos(turn), corner * np.sin(turn)
    return corner_y * (tip - x) - (tip - corner_x) * y > 0


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    reach = u * u + v * v
    return (reach < 1) & (reach > 0.2)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    wide, tall = np.abs(u), np.abs(v)
    return (np.minimum(wide, tall) < 0.34) & (np.maximum(wide, tall) < 0.94)


OUTLINES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def _highlight(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.72 + 0.5 * np.exp(-4 * ((u - 0.3) ** 2 + (v + 0.3) ** 2))


def _checks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.88 + 0.22 * np.sign(np.sin(7.6 * u) * np.sin(7.6 * v))


def _stripes(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.88 + 0.2 * np.sign(np.sin(15 * v)) + 0 * u


def _glow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 1.15 - 0.45 * np.hypot(u, v)


def _beads(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.9 + 0.22 * np.sign(np.sin(8 * np.arctan2(u, v)))


def _seam(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.where(np.minimum(np.abs(u), np.abs(v)) < 0.14, np.float32(1.15), np.float32(0.8))


PATTERNS = {
    "circle": _highlight,
    "square": _checks,
    "triangle": _stripes,
    "star": _glow,
    "ring": _beads,
    "cross": _seam,
}


def _base(rng: np.random.Generator, hue: float, saturation: float, value: float) -> np.ndarray:
    """A muted colour near the given one, float32 [3]."""
    hue = (hue + rng.normal(0, 6)) / 360 % 1
    saturation = np.clip(saturation + rng.normal(0, 0.04), 0, 1)
    value = np.clip(value + rng.normal(0, 0.04), 0, 1)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple, cells: int) -> np.ndarray:
    """Noise that varies over `size / cells` pixels, about -1..1, float32 of `shape`."""
    knots = rng.uniform(-1, 1, (cells + 2, cells + 2)).astype(np.float32)
    weights = []
    for side in shape:
        position = np.linspace(0, cells, side, dtype=np.float32)
        weights.append(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells + 2))))
    return (weights[0] @ knots @ weights[1].T).astype(np.float32)


def _sky(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    del columns
    clouds = np.clip(1.4 * _smooth_noise(rng, rows.shape, 5), 0, 1)[..., None]
    blue = _base(rng, 208, 0.42, 0.86) * (0.86 + 0.35 * rows)[..., None]
    return blue + (0.95 - blue) * 0.8 * clouds


def _grass(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    del columns
    blades = rng.standard_normal(rows.shape, np.float32)
    blades = blades + np.roll(blades, 1, 0) + np.roll(blades, 2, 0)  # upright strokes
    brightness = 1 + 0.13 * blades + 0.12 * _smooth_noise(rng, rows.shape, 8)
    return _base(rng, 96, 0.5, 0.48) * brightness[..., None]


def _water(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    ripples = np.sin(rng.uniform(70, 95) * rows + 3 * _smooth_noise(rng, rows.shape, 6))
    glitter = np.maximum(ripples, 0) ** 4 * (0.5 + 0.5 * np.sin(9 * columns + rng.uniform(0, 6)))
    brightness = 0.9 + 0.14 * ripples + 0.5 * glitter
    return _base(rng, 212, 0.55, 0.45) * brightness[..., None]


def _sand(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    grains = rng.standard_normal(rows.shape, np.float32)
    dunes = np.sin(rng.uniform(14, 22) * (rows + 0.4 * columns) + rng.uniform(0, 6))
    brightness = 1 + 0.05 * grains + 0.05 * dunes + 0.06 * _smooth_noise(rng, rows.shape, 4)
    return _base(rng, 40, 0.32, 0.82) * brightness[..., None]


STUFF = {"sky": _sky, "grass": _grass, "water": _water, "sand": _sand}

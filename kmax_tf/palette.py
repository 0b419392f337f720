"""Colours that people with any colour vision can tell apart, for classes that come without one."""

from __future__ import annotations

import functools
from typing import List, Tuple

import numpy as np

Color = Tuple[int, int, int]

# Okabe and Ito, "Color Universal Design" (2008), without black.
_FIRST = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# What an eye without one kind of cone sees, on linear RGB: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.
_VISIONS = np.array(
    [
        np.eye(3),
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
)
# Linear RGB -> XYZ relative to the white of sRGB (D65).
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
_LEVELS = (0, 36, 73, 109, 146, 182, 219, 255)
_LIGHTNESS = (32.0, 90.0)  # Between what vanishes in shadows and in highlights.


def distinct_colors(count: int) -> List[Color]:
    """Colours, each as far from those before it as possible; the same for every call.

    The first seven are Okabe and Ito's. Each further one is the colour whose nearest earlier colour
    is farthest away (CIELAB), in the worst of normal vision, protanopia, deuteranopia and
    tritanopia.

    Args:
      count: how many; the first colours of a longer list are those of a shorter one. Beyond some
        hundreds they repeat.
    """
    candidates, seen = _candidates()
    colors = list(_FIRST[:count])
    nearest = np.full(len(candidates), np.inf)
    for color in _FIRST:
        nearest = np.minimum(nearest, _worst_distance(seen, as_seen(np.array([color]))))
    while len(colors) < count and nearest.max() > 0:
        chosen = int(nearest.argmax())
        red, green, blue = candidates[chosen].tolist()
        colors.append((red, green, blue))
        nearest = np.minimum(nearest, _worst_distance(seen, seen[:, chosen : chosen + 1]))
    return [colors[i % len(colors)] for i in range(count)]


def as_seen(colors: np.ndarray) -> np.ndarray:
    """Colours as each kind of eye sees them.

    Args:
      colors: [N, 3], RGB 0..255.

    Returns:
      float64 [4, N, 3], CIELAB of normal vision, protanopia, deuteranopia and tritanopia.
    """
    encoded = np.asarray(colors, np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("vij,nj->vni", _VISIONS, linear), 0, 1)
    xyz = seen @ _XYZ.T
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@functools.cache
def _candidates() -> Tuple[np.ndarray, np.ndarray]:
    """int [N, 3] colours that can be chosen, and how they are seen, [4, N, 3]."""
    grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = as_seen(grid)
    lightness = seen[0, :, 0]
    allowed = (lightness >= _LIGHTNESS[0]) & (lightness <= _LIGHTNESS[1])
    return grid[allowed], seen[:, allowed]


def _worst_distance(seen: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Smallest distance over the kinds of eyes: [4, N, 3] and [4, 1, 3] -> [N]."""
    return np.linalg.norm(seen - other, axis=-1).min(axis=0)

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.data.converters import shapes_surfaces

GRID = np.float32(np.linspace(-1.5, 1.5, 301))
V, U = np.meshgrid(GRID, GRID, indexing="ij")
AREA_OF_A_POINT = 0.01**2

# Areas in units of the squared radius, from geometry.
AREAS = {
    "circle": np.pi,
    "square": (2 * 0.71) ** 2,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": 10 * 0.5 * 1.0 * 0.48 * np.sin(np.pi / 5),
    "ring": np.pi * 0.8,
    "cross": 2 * (2 * 0.94) * (2 * 0.34) - (2 * 0.34) ** 2,
}


@pytest.mark.parametrize("name", shapes_surfaces.THINGS)
def test_outline(name):
    inside = shapes_surfaces.OUTLINES[name](U, V)
    assert inside.sum() * AREA_OF_A_POINT == pytest.approx(AREAS[name], rel=0.02)
    assert np.hypot(U, V)[inside].max() < 1.02  # within the patch that is drawn


@pytest.mark.parametrize("name", shapes_surfaces.THINGS)
def test_pattern_is_a_brightness(name):
    pattern = shapes_surfaces.PATTERNS[name](U, V)
    inside = shapes_surfaces.OUTLINES[name](U, V)
    assert pattern.shape == U.shape
    assert 0.4 < pattern[inside].min() <= pattern[inside].max() < 1.4


def test_hues_are_far_apart():
    hues = sorted(shapes_surfaces.HUES.values())
    assert np.diff([*hues, hues[0] + 360]).min() >= 60


@pytest.mark.parametrize("name", sorted(shapes_surfaces.STUFF))
def test_textures(name):
    rows, columns = np.mgrid[0:40, 0:40].astype(np.float32) / 40
    first, again, other = (
        shapes_surfaces.STUFF[name](np.random.default_rng(seed), rows, columns)
        for seed in (1, 1, 2)
    )
    assert first.shape == (40, 40, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.1 < first.mean() < 0.95
    assert first.std(axis=(0, 1)).max() > 0.01

"""The colours of classes without one: told apart by every kind of eye."""

from __future__ import annotations

import numpy as np

from kmax_tf import palette


def worst_distance(colors) -> float:
    """Smallest difference of two colours in any vision."""
    seen = palette.as_seen(np.array(colors))
    distance = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1).min(axis=0)
    return distance[~np.eye(len(colors), dtype=bool)].min()


def test_colors_differ_in_every_vision():
    assert worst_distance(palette.distinct_colors(20)) > 12
    assert worst_distance(palette.distinct_colors(80)) > 4
    # A confusion of red and green, which the worst vision does not tell apart.
    assert worst_distance([(200, 60, 0), (104, 104, 4)]) < 12


def test_a_longer_list_begins_like_a_shorter_one():
    colors = palette.distinct_colors(200)
    assert len(set(colors)) == 200
    assert colors[:30] == palette.distinct_colors(30)
    assert colors[:3] == palette.distinct_colors(3)


def test_lab_of_known_colors():
    # CIE Lab (D65) of white, red and mid grey, from published tables.
    lab = palette.as_seen(np.array([[255, 255, 255], [255, 0, 0], [119, 119, 119]]))[0]
    np.testing.assert_allclose(lab, [[100, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]], atol=0.02)


def test_grays_look_the_same_to_every_eye():
    gray = np.repeat(np.arange(0, 256, 51)[:, None], 3, axis=1)
    seen = palette.as_seen(gray)
    np.testing.assert_allclose(seen[1:], np.broadcast_to(seen[0], seen[1:].shape), atol=0.05)

"""What the kinds of pictures show and what they leave alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from kmax_tf.palette import distinct_colors
from kmax_tf.results import picture_kinds
from kmax_tf.results.segments import find_segments
from tests.results.test_overlay import toy_scene
from tests.results.test_segments import INFO

# Large enough not to be enlarged.
_, MAP = toy_scene(500, 520)
IMAGE = np.full((500, 520, 3), (90, 140, 60), np.uint8)
MAP = np.where(MAP % 100 > 0, 300, MAP)
for number, left in enumerate((50, 200, 350), start=1):
    MAP[100:220, left : left + 120] = 100 + number
SEGMENTS = find_segments({"panoptic": MAP}, INFO)


def test_outlines_leave_the_image_alone():
    picture = picture_kinds.draw_outlines(IMAGE, MAP, INFO, SEGMENTS)
    assert picture.shape == IMAGE.shape
    changed = (picture != IMAGE).any(axis=-1)
    assert 0.01 < changed.mean() < 0.2
    # Both sides of a border, and a name in its region.
    assert changed[100:220, 198:202].all()
    assert changed[150:170, 80:140].any()
    assert not changed[400:480, 10:100].any()


def test_semantic_shows_the_plain_colors_of_classes():
    semantic = np.full(MAP.shape, 3)
    semantic[:, 260:] = 1
    picture = picture_kinds.draw_semantic(IMAGE, semantic, INFO)
    np.testing.assert_array_equal(picture[480, 500], INFO.color_table()[1])
    assert len(np.unique(picture[300:480, 280:500].reshape(-1, 3), axis=0)) < 40


def test_instances_have_their_own_colors_on_a_pale_image():
    picture = picture_kinds.draw_instances(IMAGE, MAP, INFO, SEGMENTS)
    background = picture[400:480, 10:100]
    np.testing.assert_array_equal(background.min(axis=-1), background.max(axis=-1))
    assert background.min() >= 255 * (1 - picture_kinds._BACKGROUND) - 1
    for color, left in zip(distinct_colors(3), (50, 200, 350)):
        mean = picture[110:130, left + 10 : left + 110].reshape(-1, 3).mean(axis=0)
        # A quarter of the image shines through.
        nearest = np.argmin([np.abs(mean - other).sum() for other in distinct_colors(3)])
        assert distinct_colors(3)[nearest] == color
    reversed_order = picture_kinds.draw_instances(IMAGE, MAP, INFO, SEGMENTS[::-1])
    np.testing.assert_array_equal(picture, reversed_order)


def test_no_instance_and_scores():
    empty = np.full(MAP.shape, 300)
    picture_kinds.draw_instances(IMAGE, empty, INFO, find_segments({"panoptic": empty}, INFO))
    scored = [dataclasses.replace(segment, score=0.9) for segment in SEGMENTS]
    for draw in (picture_kinds.draw_outlines, picture_kinds.draw_instances):
        without = draw(IMAGE, MAP, INFO, scored)
        assert np.any(draw(IMAGE, MAP, INFO, scored, show_scores=True) != without)

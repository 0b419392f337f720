"""Pictures: their sizes, colours, and that nothing in a map breaks them."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest

from kmax_tf.results import overlay
from kmax_tf.results.segments import Segment, find_segments
from tests.results.test_segments import INFO


def toy_scene(height: int = 97, width: int = 129) -> Tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    panoptic = np.full([height, width], 300, np.int32)
    panoptic[:10] = 0
    for instance, center in enumerate((20, 60, 100), start=1):
        panoptic[(rows - 50) ** 2 + (columns - center) ** 2 < 200] = 100 + instance
    image = np.random.default_rng(1).integers(0, 255, [height, width, 3]).astype(np.uint8)
    return image, panoptic


def test_small_images_are_enlarged_and_drawing_is_deterministic() -> None:
    image, panoptic = toy_scene()
    before = image.copy(), panoptic.copy()
    picture = overlay.draw_overlay(image, panoptic, INFO)
    assert picture.shape == (485, 645, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, overlay.draw_overlay(image, panoptic, INFO))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(panoptic, before[1])
    plain = overlay.draw_overlay(image, panoptic, INFO, show_names=False)
    assert np.any(plain != picture)
    assert overlay.draw_overlay(image, panoptic, INFO, min_side=1).shape == image.shape


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 40), (3, 5), (33, 17)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_any_size_and_any_content(size: Tuple[int, int]) -> None:
    image = np.zeros([*size, 3], np.uint8)
    for value in (0, 101, 300):
        picture = overlay.draw_overlay(image, np.full(size, value), INFO, min_side=24)
        assert min(picture.shape[:2]) >= 24
    random = np.random.default_rng(0).choice([0, 101, 102, 207, 300], size)
    overlay.draw_overlay(image, random, INFO, min_side=24)


def test_scores_are_written_on_request() -> None:
    image, panoptic = toy_scene()
    scores = {"segment_id": [101, 300], "segment_score": [0.9, 0.5]}
    segments = find_segments({"panoptic": panoptic, **scores}, INFO)
    without = overlay.draw_overlay(image, panoptic, INFO, segments)
    assert np.any(
        overlay.draw_overlay(image, panoptic, INFO, segments, show_scores=True) != without
    )


def test_instances_of_a_class_differ_and_keep_their_color() -> None:
    segments = [Segment(100 + i, 1, "cat", True, None, 5, (0, 0, 1, 1)) for i in range(1, 6)]
    colors = overlay.segment_colors(segments, INFO)
    assert len(np.unique(colors, axis=0)) == 5
    np.testing.assert_array_equal(colors[0], [200, 0, 0])
    np.testing.assert_array_equal(overlay.segment_colors(segments[::-1], INFO), colors[::-1])


def test_names_as_people_say_them() -> None:
    def caption(name: str, score: float = 0.876) -> str:
        return overlay.caption_of(
            Segment(1, 1, name, True, score, 5, (0, 0, 1, 1)), show_score=True
        )

    assert caption("wall-other-merged") == "wall 88%"
    assert caption("door-stuff") == "door 88%"
    assert caption("traffic_light") == "traffic light 88%"


def test_comparison() -> None:
    image, panoptic = toy_scene()
    picture = overlay.draw_comparison(image, panoptic, np.roll(panoptic, 5, 1), INFO, min_side=97)
    assert picture.shape == (97 + 38 + 24, 3 * 129 + 4 * 12, 3)


def test_errors() -> None:
    image, panoptic = toy_scene()
    with pytest.raises(ValueError, match=r"\[97, 129, 3\].*received \[96, 129, 3\]"):
        overlay.draw_overlay(image[1:], panoptic, INFO)


def test_a_thin_image_does_not_become_a_huge_picture() -> None:
    image = np.zeros([20, 700, 3], np.uint8)
    picture = overlay.draw_overlay(image, np.zeros([20, 700], np.int32), INFO)
    assert max(picture.shape) <= 2000

"""Places for names."""

from __future__ import annotations

import numpy as np

from kmax_tf.results.label_placement import Box, LabelPlacer, interior_distance


def overlap(a: Box, b: Box) -> bool:
    apart_x = a.left >= b.left + b.width or b.left >= a.left + a.width
    apart_y = a.top >= b.top + b.height or b.top >= a.top + a.height
    return not (apart_x or apart_y)


def test_interior_distance() -> None:
    regions = np.zeros([7, 9], int)
    regions[:, 7:] = 1
    depth = interior_distance(regions)
    np.testing.assert_array_equal(depth[3], [1, 2, 3, 4, 3, 2, 1, 1, 1])
    np.testing.assert_array_equal(depth[0], np.ones(9))
    np.testing.assert_array_equal(interior_distance(np.zeros([2, 5], int)), np.ones([2, 5]))


def test_names_lie_inside_their_region_and_apart() -> None:
    regions = np.zeros([200, 300], int)
    regions[:, 150:] = 1
    placer = LabelPlacer(regions)
    boxes = []
    for label in (0, 0, 1):
        choice = placer.place(label, [(60, 20)], min_inside=1.0, last_inside=1.0)
        assert choice is not None
        boxes.append(choice.box)
        inside = regions[
            choice.box.top : choice.box.top + 20, choice.box.left : choice.box.left + 60
        ]
        assert inside.size == 20 * 60
        assert np.all(inside == label)
    assert not any(overlap(boxes[i], boxes[j]) for i in range(3) for j in range(i))
    # The first name stands near the middle of its region.
    assert abs(boxes[0].left + 30 - 75) < 12
    assert abs(boxes[0].top + 10 - 100) < 12


def test_smaller_sizes_are_tried_before_giving_up() -> None:
    regions = np.zeros([100, 100], int)
    regions[40:60, 40:70] = 1
    placer = LabelPlacer(regions)
    choice = placer.place(1, [(60, 30), (20, 12)], min_inside=1.0, last_inside=0.9)
    assert choice is not None
    assert choice.size_index == 1
    assert placer.place(1, [(90, 60)], min_inside=0.9, last_inside=0.9) is None
    assert placer.place(1, [(120, 10)], min_inside=0.0, last_inside=0.0) is None


def test_names_stay_in_the_picture() -> None:
    regions = np.zeros([601, 803], int)
    regions[575:, 765:] = 1
    choice = LabelPlacer(regions).place(1, [(40, 20)], min_inside=0.1, last_inside=0.1)
    assert choice is not None
    box = choice.box
    assert box.left >= 0 and box.left + box.width <= 803
    assert box.top >= 0 and box.top + box.height <= 601

from __future__ import annotations

import numpy as np

from kmax_tf.data.converters import shapes_drawing, shapes_surfaces

OPTIONS = shapes_drawing.SceneOptions()


def scenes(count, **changes):
    options = shapes_drawing.SceneOptions(**changes)
    return [
        shapes_drawing.draw_scene(options, np.random.default_rng([0, index]))
        for index in range(count)
    ]


def test_scene_is_a_function_of_its_generator():
    first, again, other = (
        shapes_drawing.draw_scene(OPTIONS, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.segment_map, again.segment_map)
    assert first.segments == again.segments
    assert not np.array_equal(first.image, other.image)


def test_segments_agree_with_the_map():
    for scene in scenes(20):
        assert scene.image.shape == (129, 129, 3)
        assert scene.image.dtype == np.uint8
        numbers, counts = np.unique(scene.segment_map, return_counts=True)
        listed = {segment.number for segment in scene.segments}
        assert listed == set(numbers.tolist()) - {shapes_drawing.VOID}
        assert counts[numbers != shapes_drawing.VOID].min() >= OPTIONS.min_visible
        stuff = [s.class_name for s in scene.segments if s.class_name in shapes_surfaces.STUFF]
        assert len(set(stuff)) == len(stuff)


def test_variety_of_the_data_set():
    """What the data set promises: all classes, crowd, void, busy scenes, tiny to huge things."""
    drawn = scenes(150)
    things, areas, names, crowds, voids = [], [], set(), 0, 0
    for scene in drawn:
        here = [
            s for s in scene.segments if s.class_name in shapes_surfaces.THINGS and not s.is_crowd
        ]
        things.append(len(here))
        areas += [np.count_nonzero(scene.segment_map == s.number) for s in here]
        names |= {s.class_name for s in scene.segments}
        crowds += any(s.is_crowd for s in scene.segments)
        voids += np.count_nonzero(scene.segment_map == shapes_drawing.VOID) > 100
    assert names == {*shapes_surfaces.THINGS, *shapes_surfaces.STUFF}
    assert max(things) >= 10
    assert np.mean(np.array(things) >= 10) < 0.25
    assert min(areas) < 100
    assert max(areas) > 2000
    assert 1 <= crowds <= 20
    assert 10 <= voids <= 45


def test_class_hue():
    """With every hue tied to its class and no light or noise, hues tell the classes apart."""
    drawn = scenes(30, class_hue_share=1.0, hue_spread=0.0, noise=(0.0, 0.0), void_share=0.0)
    wrong = total = 0
    for scene in drawn:
        for segment in scene.segments:
            if segment.class_name not in shapes_surfaces.THINGS:
                continue
            red, green, blue = scene.image[scene.segment_map == segment.number].mean(0)
            hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))
            distance = {
                name: abs((hue - reference + 180) % 360 - 180)
                for name, reference in shapes_surfaces.HUES.items()
            }
            wrong += min(distance, key=distance.get) != segment.class_name
            total += 1
    assert total > 50
    assert wrong / total < 0.1

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import geometry

CROP_CASES = ["train_no_resize_noflip", "train_scale_down_pad", "train_scale_up_crop_flip"]
EVAL_CASES = ["eval_upscale", "eval_downscale", "eval_pad_only", "eval_exact"]


@pytest.fixture
def sizes(golden):
    return json.loads((golden / "data" / "sizes.json").read_text())


@pytest.fixture
def transforms(golden):
    folder = golden / "data"
    cases = json.loads((folder / "transforms.json").read_text())
    return cases, np.load(folder / "transforms.npz")


def limits(minimum, maximum, factor=None):
    def pair(values):
        return (values[0], values[-1]) if values and min(values) > 0 else None

    return geometry.ResizeOptions(pair(minimum), pair(maximum), factor or 0)


def test_resized_size_golden(sizes):
    @tf.function
    def all_sizes(inputs, index):
        options = [limits(s["min"], s["max"], s["factor"]) for s in sizes["specs"]]
        branches = [lambda o=o: geometry.resized_size(inputs, o) for o in options]
        return tf.switch_case(index, branches)

    for spec, height, width, *expected in sizes["rows_spec_h_w_newh_neww"]:
        result = all_sizes(tf.constant([height, width]), tf.constant(spec))
        assert result.numpy().tolist() == expected, (spec, height, width)


def test_scaled_size_golden(sizes):
    for height, width, scale, *expected in sizes["random_scale_rows_h_w_scale_newh_neww"]:
        result = geometry.scaled_size(tf.constant([height, width]), tf.constant(scale, tf.float32))
        assert result.numpy().tolist() == expected


def test_scale_values_golden(sizes):
    for name, expected in sizes["scale_lists"].items():
        low, high, step, _, paste = name.split("_")
        scale = 1.0 if paste == "None" else float(paste)
        values = geometry.scale_values(float(low) * scale, float(high) * scale, float(step))
        np.testing.assert_allclose(values, expected, rtol=2e-7)
    assert len(geometry.scale_values(0.5, 2.0, 0.1)) == 15
    assert geometry.scale_values(0.5, 2.0, 0.0) is None


@pytest.mark.parametrize("bounds", [(0.0, 1.0, 0.1), (2.0, 1.0, 0.1), (0.5, 1.0, -0.1)])
def test_scale_values_refuses(bounds):
    with pytest.raises(ValueError, match="min_scale_factor"):
        geometry.scale_values(*bounds)


@pytest.mark.parametrize("name", CROP_CASES)
def test_training_transform_golden(transforms, name):
    cases, arrays = transforms
    case, crop = cases[name], tuple(cases[name]["crop"])
    image, label = arrays[f"{name}/image"], arrays[f"{name}/label"]
    resized = geometry.resized_size(
        tf.constant(image.shape[:2]), limits(case["min_resize"], case["max_resize"])
    )
    assert resized.numpy().tolist() == case["hw_after_resize"]
    placement = geometry.Placement(
        resized,
        geometry.scaled_size(resized, tf.constant(case["scale"], tf.float32)),
        tf.constant([case["pad_offset_y"], case["pad_offset_x"]]),
        tf.constant([case["crop_offset_y"], case["crop_offset_x"]]),
        tf.constant(case["flip_draw"] <= 0.5),
    )
    assert bool(placement.flip) == case["flipped"]
    scaled = geometry.scale_image(tf.constant(image), placement)
    placed = geometry.place_image(scaled, placement, crop)
    np.testing.assert_allclose(placed, arrays[f"{name}/processed_image"], atol=1e-2)
    result = geometry.place_label(tf.constant(label), placement, crop, case["ignore_value"])
    np.testing.assert_array_equal(result, arrays[f"{name}/processed_label"])


@pytest.mark.parametrize("name", EVAL_CASES)
def test_evaluation_transform_golden(transforms, name):
    cases, arrays = transforms
    case, crop = cases[name], tuple(cases[name]["crop"])
    image, label = arrays[f"{name}/image"], arrays[f"{name}/label"]
    options = limits(case["min_resize"], case["max_resize"])
    options = options._replace(maximum=options.maximum or crop)
    placement = geometry.fixed_placement(tf.constant(image.shape[:2]), options)
    assert geometry.valid_size(placement, crop).numpy().tolist() == case["resized_hw"]
    scaled = geometry.scale_image(tf.constant(image), placement)
    np.testing.assert_allclose(scaled, arrays[f"{name}/resized_image"], atol=1e-2)
    placed = geometry.place_image(scaled, placement, crop)
    np.testing.assert_allclose(placed, arrays[f"{name}/processed_image"], atol=1e-2)
    result = geometry.place_label(tf.constant(label), placement, crop, case["ignore_value"])
    np.testing.assert_array_equal(result, arrays[f"{name}/processed_label"])


def test_random_placement_stays_inside():
    """Over many draws: the crop is filled, the full margin is never used, both flips occur."""
    options = geometry.ResizeOptions((33, 33), (33, 33), 0)
    seen = set()

    @tf.function
    def draw(uniforms):
        return geometry.random_placement(
            tf.constant([40, 30]),
            uniforms,
            options=options,
            scales=geometry.scale_values(0.5, 2.0, 0.5),
            scale_bounds=(0.5, 2.0),
            crop=(33, 33),
        )

    rng = np.random.default_rng(0)
    rows = [*rng.random((200, 6)), np.zeros(6), np.full(6, np.nextafter(1, 0, dtype=np.float32))]
    for row in rows:
        placement = draw(tf.constant(row, tf.float32))
        height, width = placement.scaled.numpy()
        for side, pad, offset in zip(
            (height, width), placement.padding.numpy(), placement.offset.numpy()
        ):
            assert 0 <= pad < max(33 - side, 1)
            assert 0 <= offset <= max(side - 33, 0)
        seen.add((int(height), bool(placement.flip)))
    assert seen == {(h, f) for h in (16, 33, 49, 66) for f in (False, True)}


def test_image_and_label_move_together():
    """An image that holds its own label agrees with it after any placement (sizes unchanged)."""
    label = np.arange(12 * 9).reshape(12, 9).astype(np.int32)
    image = np.repeat(label[..., None], 3, -1).astype(np.float32)
    size = tf.constant([12, 9])
    for flip in (False, True):
        placement = geometry.Placement(
            size, size, tf.constant([0, 2]), tf.constant([3, 0]), tf.constant(flip)
        )
        placed = geometry.place_image(tf.constant(image), placement, (7, 13)).numpy()[..., 0]
        moved = geometry.place_label(tf.constant(label), placement, (7, 13), -1).numpy()
        np.testing.assert_array_equal(np.where(placed == 127.5, -1, placed), moved)
        columns = [2, 10] if not flip else [10, 2]
        assert moved[0, columns].tolist() == [27, 35]


@pytest.mark.parametrize(("size", "new_size"), [(2, 83), (3, 165), (20, 33), (33, 20), (7, 1)])
def test_labels_are_resized_as_the_kernel_does(size, new_size):
    """2 to 83 rows: 41 * float32(1 / 82) is just below a half, and adding a half would hide it."""
    label = tf.range(size)[:, tf.newaxis]
    kernel = tf.raw_ops.ResizeNearestNeighbor(
        images=label[tf.newaxis, ..., tf.newaxis], size=[new_size, 1], align_corners=True
    )[0, ..., 0]
    resized, zeros = tf.constant([new_size, 1]), tf.zeros([2], tf.int32)
    placement = geometry.Placement(resized, resized, zeros, zeros, tf.constant(False))
    placed = geometry.place_label(label, placement, (new_size, 1), -1)
    np.testing.assert_array_equal(placed, kernel)

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from kmax_tf.data.converters.instance_masks import read_segmentation

HEIGHT, WIDTH = 40, 30
SIZE = (HEIGHT, WIDTH)


def random_mask(seed):
    generator = np.random.default_rng(seed)
    mask = np.zeros(SIZE, np.uint8)
    for _ in range(4):
        y, x = generator.integers(0, 30), generator.integers(0, 20)
        mask[y : y + generator.integers(1, 12), x : x + generator.integers(1, 12)] ^= 1
    return mask


def run_lengths(mask):
    """Counted by hand: column by column, zeros first."""
    flat = mask.T.ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size)
    counts = np.diff(np.append(0, ends)).tolist()
    return counts if flat[0] == 0 else [0, *counts]


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths(seed):
    mask = random_mask(seed)
    mask[0, 0] = seed % 2
    compressed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    for counts in (run_lengths(mask), compressed):
        read = read_segmentation({"size": [HEIGHT, WIDTH], "counts": counts}, *SIZE)
        np.testing.assert_array_equal(read.pixels(), mask)
        assert read.area == mask.sum()
        assert read.pixels().dtype == bool


def test_long_run_lengths():
    mask = np.random.default_rng(0).integers(0, 2, (300, 500)).astype(np.uint8)
    mask[:, 100:200] = 1
    compressed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    read = read_segmentation({"size": [300, 500], "counts": compressed}, 300, 500)
    np.testing.assert_array_equal(read.pixels(), mask)


@pytest.mark.parametrize("seed", range(6))
def test_polygons_are_those_of_pycocotools(seed):
    generator = np.random.default_rng(seed)
    polygons = [generator.uniform(-5, 45, 2 * n).round(2).tolist() for n in (3, 5, 9)]
    expected = np.zeros(SIZE, bool)
    for polygon in polygons:
        expected |= coco_mask.decode(coco_mask.frPyObjects([polygon], *SIZE))[..., 0] > 0
    read = read_segmentation([*polygons, [1.0, 1.0, 30.0, 30.0]], *SIZE)
    np.testing.assert_array_equal(read.pixels(), expected)


def test_a_square():
    read = read_segmentation([[2, 3, 6, 3, 6, 8, 2, 8]], *SIZE)
    expected = np.zeros(SIZE, bool)
    expected[3:8, 2:6] = True
    np.testing.assert_array_equal(read.pixels(), expected)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[5, 5, 5, 5, 5, 5]],
        [[100, 100, 120, 100, 120, 120]],
        {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    ],
)
def test_without_pixels(segmentation):
    assert read_segmentation(segmentation, *SIZE) is None


@pytest.mark.parametrize(
    ("segmentation", "match"),
    [
        (None, "it is a NoneType"),
        ("text", "it is a str"),
        ([1, 2, 3, 4, 5, 6], "every polygon .* received 1"),
        ([[1, 2, 3, 4, 5, 6, 7]], "even length"),
        ([["a", 2, 3, 4, 5, 6]], "received 'a'"),
        ([[float("nan"), 2, 3, 4, 5, 6]], "received nan"),
        ([[1e9, 2, 3, 4, 5, 6]], "at most 100000; received 1000000000.0"),
        ([[10**400, 2, 3, 4, 5, 6]], "at most 100000"),
        ({"size": [WIDTH, HEIGHT], "counts": [5]}, r"\[40, 30\]; received \[30, 40\]"),
        ({"counts": [5]}, "received None"),
        ({"size": [HEIGHT, WIDTH]}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, 1201]}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": ["a"]}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": "é"}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": "o"}, "add up to the 1200 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "add up to the 1200 pixels"),
    ],
)
def test_one_clause(segmentation, match):
    with pytest.raises(ValueError, match=match):
        read_segmentation(segmentation, *SIZE)


def test_an_outline_that_would_fill_the_memory_is_refused():
    zigzag = [0.0, 0.0, 1e5, 1e5] * 1000
    with pytest.raises(
        ValueError, match="outline of a polygon may have 2000000 pixels; one of 2000"
    ):
        read_segmentation([zigzag], *SIZE)


def test_a_number_of_endless_digits_is_refused():
    endless = {"size": [HEIGHT, WIDTH], "counts": "o" * 2_000_000}
    with pytest.raises(ValueError, match="`counts` of the run lengths must be numbers"):
        read_segmentation(endless, *SIZE)

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from kmax_tf.matching.hungarian import solve_assignment

solve = tf.function(solve_assignment)
compiled = tf.function(solve_assignment, jit_compile=True)


def check_optimal(cost, is_real, column):
    """A valid assignment of every real row (or every column), as cheap as scipy's."""
    np.testing.assert_array_equal(column[~is_real], -1)
    for image, real, columns in zip(cost.astype(np.float64), is_real, column):
        rows = np.flatnonzero(columns >= 0)
        assert len(set(columns[rows])) == len(rows) == min(real.sum(), cost.shape[2])
        expected = image[real][linear_sum_assignment(image[real])].sum()
        assert image[rows, columns[rows]].sum() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def random_cost(generator, kind, shape):
    batch, rows, columns = shape
    if kind == "uniform":
        cost = -generator.random(shape)
    elif kind == "ties":
        cost = generator.integers(-3, 4, shape)
    elif kind == "all equal":
        cost = np.full(shape, -0.5)
    elif kind == "all rows prefer the same columns":
        cost = -generator.random((batch, rows, 1)) * generator.random((batch, 1, columns))
    else:
        cost = generator.normal(size=shape) * 100
    return cost.astype(np.float32)


KINDS = ("uniform", "ties", "all equal", "all rows prefer the same columns", "wide range")
# Wide, square, tall, one column, one row; batch elements have different numbers of real rows.
SHAPES = ((64, 9, 20), (64, 12, 12), (64, 16, 5), (16, 6, 1), (16, 1, 7), (8, 40, 25))


@pytest.mark.parametrize("shape", SHAPES)
def test_cost_is_that_of_scipy(shape):
    generator = np.random.default_rng(sum(shape))
    for _ in range(3):
        for kind in KINDS:
            cost = random_cost(generator, kind, shape)
            is_real = generator.random(shape[:2]) < generator.random((shape[0], 1))
            check_optimal(cost, is_real, solve(cost, is_real).numpy())


@pytest.mark.parametrize("shape", [(8, 9, 20), (8, 16, 5)])
def test_compiles_with_xla(shape):
    generator = np.random.default_rng(0)
    cost = random_cost(generator, "uniform", shape)
    is_real = generator.random(shape[:2]) < 0.7
    np.testing.assert_array_equal(compiled(cost, is_real), solve(cost, is_real))


def test_golden_cases(golden):
    cases = json.loads((golden / "matching" / "matching.json").read_text())
    with np.load(golden / "matching" / "matching.npz") as arrays:
        for name in cases:
            cost = arrays[f"{name}/cost"]
            if name.startswith("masked_"):
                is_real = arrays[f"{name}/row_is_real"].astype(bool)
                expected = arrays[f"{name}/assignment_of_real_rows"]
            else:
                is_real = np.ones(cost.shape[:2], bool)
                expected = arrays[f"{name}/assignment"]
            np.testing.assert_array_equal(solve(cost, is_real), expected, err_msg=name)


def test_no_real_rows():
    cost = np.zeros((2, 3, 4), np.float32)
    np.testing.assert_array_equal(solve(cost, np.zeros((2, 3), bool)), -np.ones((2, 3)))


def test_padding_may_hold_anything():
    cost = np.array([[[np.nan, np.inf], [-1.0, -0.9], [-0.8, -0.1]]], np.float32)
    column = solve(cost, np.array([[False, True, True]]))
    np.testing.assert_array_equal(column, [[-1, 1, 0]])


def test_ends_where_costs_are_not_numbers():
    cost = np.full((2, 7, 5), np.nan, np.float32)
    assert solve(cost, np.ones((2, 7), bool)).shape == (2, 7)


def test_unknown_batch_size():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 5, 3], tf.float32),
            tf.TensorSpec([None, 5], tf.bool),
        ]
    )
    def function(cost, is_real):
        return solve_assignment(cost, is_real)

    generator = np.random.default_rng(1)
    cost, is_real = random_cost(generator, "uniform", (4, 5, 3)), np.ones((4, 5), bool)
    check_optimal(cost, is_real, function(cost, is_real).numpy())

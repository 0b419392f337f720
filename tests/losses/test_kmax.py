from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses.total import weighted_terms
from tests.losses.golden_cases import (
    CASES,
    criterion_of,
    gradients_of,
    inputs_of,
    load,
    weights_of,
)


def run(case, criterion=None, compiled=False):
    """Terms and the gradient of the mean total, with the reference's random numbers."""
    criterion = criterion or criterion_of(case)
    uniform = tf.constant(case.arrays["gumbel_uniform"])

    @tf.function(jit_compile=compiled)
    def step(targets, output):
        inputs = inputs_of(case._replace(output=output))
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            terms, counts = criterion(targets, output, lambda name, shape: uniform)
            named = weighted_terms(terms, weights_of(case))
            loss = tf.reduce_mean(named["total"])
        return named, counts, tape.gradient(loss, inputs)

    return step(case.targets, case.output)


@pytest.mark.parametrize("name", CASES)
def test_golden_terms_gradients_and_assignments(name):
    case = load(name)
    terms, counts, gradients = run(case)
    expected = {k[len("loss/") :]: v for k, v in case.arrays.items() if k.startswith("loss/")}
    expected["total"] = expected.pop("total_loss")
    assert set(terms) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(terms[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    for actual, wanted in zip(gradients, gradients_of(case)):
        tolerance = 1e-4 * np.abs(wanted).max() + 1e-12
        np.testing.assert_allclose(tf.convert_to_tensor(actual), wanted, atol=tolerance, rtol=0)
    assert not np.any(counts["unmatched_segments"])

    assignment = criterion_of(case).match(case.targets, case.output)
    slots = np.where(assignment.matched, assignment.slot_of_segment, -1)
    np.testing.assert_array_equal(slots, case.arrays["matched_slot"])

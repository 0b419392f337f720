from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.losses.kmax import (
    INSTANCE,
    MASK_ID,
    PQ_CLASS,
    PQ_DICE,
    KMaxCriterion,
    SamplingOptions,
)
from kmax_tf.losses.total import weighted_terms
from kmax_tf.structures import MaskPrediction, ModelOutput
from tests.losses.golden_cases import (
    CASES,
    FOLDER,
    criterion_of,
    dataset_info,
    gradients_of,
    inputs_of,
    load,
    targets_of,
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


def no_random_numbers(name, shape):
    raise AssertionError(f"{name} must not draw")


def test_golden_case_under_xla():
    case = load("one_image_empty")
    terms, _, gradients = run(case, compiled=True)
    np.testing.assert_allclose(terms["total"], case.arrays["loss/total_loss"], rtol=1e-5)
    for actual, wanted in zip(gradients, gradients_of(case)):
        np.testing.assert_allclose(actual, wanted, atol=1e-4 * np.abs(wanted).max() + 1e-12)


def test_golden_semantic_sampling():
    options = json.loads((FOLDER / "optional_semantic_subsampling.json").read_text())
    with np.load(FOLDER / "optional_semantic_subsampling.npz") as file:
        arrays = dict(file)
    info = dataset_info(options)
    criterion = KMaxCriterion(
        info,
        num_things=options["max_thing_id"],
        pq_style=False,
        mask_id_fraction=None,
        instance=None,
        semantic=SamplingOptions(1.0, options["sample_k"], options["sample_temperature"]),
    )
    logits = tf.constant(arrays["pred_semantic_logits"])
    size = options["size"]
    final = MaskPrediction(tf.zeros([2, 4, 9]), tf.zeros([2, size, size, 4]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        terms, counts = criterion(
            targets_of(arrays, info),
            ModelOutput(final, (), logits),
            lambda name, shape: tf.constant(arrays["gumbel_uniform"])[tf.newaxis],
        )
        loss = tf.reduce_mean(terms["semantic_loss"])
    assert list(terms) == ["semantic_loss"] and not counts
    np.testing.assert_allclose(terms["semantic_loss"][0], arrays["semantic_loss"], rtol=1e-5)
    expected = arrays["grad_semantic_logits"]
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=tolerance)


def with_fewer_slots(case, num_slots):
    final = case.output.final
    return case.output._replace(
        final=final._replace(
            class_logits=final.class_logits[:, :num_slots],
            mask_logits=final.mask_logits[..., :num_slots],
        )
    )


def test_unmatched_segments_count_as_void():
    case = load("basic_full_sampling")
    output = with_fewer_slots(case, 3)
    criterion = criterion_of(case)
    terms, counts = criterion(case.targets, output, no_random_numbers)
    assignment = criterion.match(case.targets, output)
    segment_id = case.targets["segment_id"].numpy()
    num_segments = [len(np.unique(ids[ids >= 0])) for ids in segment_id[:, ::2, ::2]]
    np.testing.assert_array_equal(counts["unmatched_segments"], np.array(num_segments) - 3)

    # The same image, drawn without the segments that are lost.
    matched = assignment.matched.numpy()
    lost = (segment_id >= 0) & ~np.take_along_axis(
        matched, np.maximum(segment_id, 0).reshape(2, -1), 1
    ).reshape(segment_id.shape)
    without = dict(
        case.targets,
        segment_id=tf.constant(np.where(lost, -1, segment_id)),
        semantic=tf.constant(np.where(lost, 0, case.targets["semantic"])),
    )
    expected, expected_counts = criterion(without, output, no_random_numbers)
    np.testing.assert_array_equal(expected_counts["unmatched_segments"], [0, 0])
    same_slots = criterion.match(without, output).slot_of_segment
    np.testing.assert_array_equal(
        np.where(matched, same_slots, -1), np.where(matched, assignment.slot_of_segment, -1)
    )
    for name in (MASK_ID, PQ_DICE, INSTANCE):
        np.testing.assert_allclose(terms[name], expected[name], rtol=1e-5)
    # Every slot has a segment here. The quality of its mask, which weighs its class, was measured
    # while the lost segments were still visible.
    slots, matched_rows = assignment.slot_of_segment.numpy()[matched], np.nonzero(matched)
    rows_class = case.targets["segment_class"].numpy()[matched_rows] - 1  # The class's channel.
    log_probability = tf.nn.log_softmax(output.final.class_logits).numpy()
    losses = -log_probability[matched_rows[0], slots, rows_class]
    losses = 0.75 * losses * assignment.mask_similarity.numpy()[matched]
    np.testing.assert_allclose(terms[PQ_CLASS][0], losses.reshape(2, 3).mean(1), rtol=1e-5)


def test_a_slot_is_not_blamed_for_a_lost_segment():
    # Two segments, one slot that is sure of segment 0: the other segment is lost.
    info = load("basic_full_sampling").info
    targets = {
        "semantic": tf.constant([[[1, 2, 0], [1, 2, 0], [1, 2, 0]]]),
        "segment_id": tf.constant([[[0, 1, -1], [0, 1, -1], [0, 1, -1]]]),
        "segment_class": tf.constant([[1, 2, -1]]),
    }
    mask_logits = tf.constant([[[[1.0], [1.0], [1.0]]] * 3])
    class_logits = tf.constant([[[3.0, 2.0, 0, 0, 0, 0, 0, 0, 0]]])
    criterion = KMaxCriterion(
        info, num_things=3, pq_style=True, mask_id_fraction=1.0, instance=None, semantic=None
    )
    output = ModelOutput(MaskPrediction(class_logits, mask_logits))
    terms, counts = criterion(targets, output, no_random_numbers)
    np.testing.assert_array_equal(counts["unmatched_segments"], [1])
    # Only the three pixels of segment 0 are left: a perfect mask, with the one slot there is.
    np.testing.assert_allclose(terms[MASK_ID], [[0.0]], atol=1e-6)
    np.testing.assert_allclose(terms[PQ_DICE], [[0.0]], atol=1e-6)


def test_bfloat16_predictions_are_judged_in_float32():
    case = load("basic_full_sampling")
    rounded = tf.nest.map_structure(lambda t: tf.cast(t, tf.bfloat16), case.output)
    restored = tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), rounded)
    terms, _ = criterion_of(case)(case.targets, rounded, no_random_numbers)
    expected, _ = criterion_of(case)(case.targets, restored, no_random_numbers)
    for name, term in terms.items():
        assert term.dtype == tf.float32
        np.testing.assert_array_equal(term, expected[name], err_msg=name)


def test_unknown_batch_size():
    case = load("aux2_subsampling")

    def any_batch(tensor):
        return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    @tf.function(
        input_signature=[
            tf.nest.map_structure(any_batch, dict(case.targets)),
            tf.nest.map_structure(any_batch, case.output),
        ]
    )
    def total(targets, output):
        terms, _ = criterion_of(case)(targets, output, lambda name, shape: tf.random.uniform(shape))
        return weighted_terms(terms, weights_of(case))["total"]

    expected = case.arrays["loss/total_loss"]
    np.testing.assert_allclose(total(dict(case.targets), case.output), expected, rtol=0.1)


def test_what_a_term_needs_must_be_there():
    case = load("basic_full_sampling")
    criterion = criterion_of(case)
    with pytest.raises(ValueError, match=r"`output.semantic_logits` must"):
        criterion(case.targets, case.output._replace(semantic_logits=None), no_random_numbers)
    bare = case.output.final._replace(pixel_embedding=None)
    with pytest.raises(ValueError, match="`pixel_embedding`"):
        criterion(case.targets, case.output._replace(final=bare), no_random_numbers)
    small = case.output.final._replace(mask_logits=case.output.final.mask_logits[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"`output.auxiliary` must"):
        criterion(case.targets, case.output._replace(auxiliary=(small,)), no_random_numbers)

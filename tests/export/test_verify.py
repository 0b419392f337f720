"""Verification passes for a faithful SavedModel and names what differs in a wrong one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export import verify
from kmax_tf.export.outputs import ROWS
from kmax_tf.export.serving import Serving
from kmax_tf.export.verify import (
    Comparison,
    format_comparisons,
    verification_images,
    verify_network_file,
    verify_saved_model,
)
from kmax_tf.finite import NonFinitePredictionError
from tests.export.toy import SIZE, ToyNetwork, prepare, served, toy_image

IMAGES = [toy_image(33, 65), toy_image(17, 40, 1), toy_image(50, 30, 2)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Network and what it is saved as."""
    folder = tmp_path_factory.mktemp("saved")
    network = ToyNetwork()
    Serving(served(network), prepare=prepare, input_size=SIZE).save(folder, assets=[])
    return network, tf.saved_model.load(str(folder))


def test_a_faithful_export_agrees_exactly(saved):
    network, saved_model = saved
    rows = verify_saved_model(saved_model, network=served(network), prepare=prepare, images=IMAGES)
    assert {(row.signature, row.batch) for row in rows} == {
        ("serving_default", 1),
        ("serving_default", 3),
        ("image_tensor", 1),
        ("image_tensor", 2),
    }
    assert len(rows) == 6 * 7
    assert {row.batch for row in rows if row.against == verify.ALONE} == {2, 3}
    assert all(row.difference == 0 and row.passed for row in rows)
    assert "DIFFERS" not in format_comparisons(rows)


def test_other_weights_are_noticed(saved):
    _, saved_model = saved
    other = ToyNetwork()
    other.thresholds.assign([85.0, 100.0])
    rows = verify_saved_model(saved_model, network=served(other), prepare=prepare, images=IMAGES)
    failed = {row.output for row in rows if not row.passed}
    assert {"panoptic", "semantic"} <= failed
    assert not failed & {"valid_size", "image_size"}
    assert "DIFFERS" in format_comparisons(rows)


def test_nan_never_passes():
    assert not Comparison("image_tensor", 1, "segment_score", float("nan"), 1.0).passed


def test_verification_images_are_fixed_and_differ_in_size():
    first, second = verification_images((65, 65)), verification_images((65, 65))
    for image, again in zip(first, second):
        np.testing.assert_array_equal(image, again)
        assert image.dtype == np.uint8
    assert len({image.shape for image in first}) == 3


def test_nothing_can_be_verified_against_nan(saved):
    _, saved_model = saved

    def network(images):
        prediction = ToyNetwork()(images)
        return prediction._replace(segment_score=prediction.segment_score * np.nan)

    with pytest.raises(NonFinitePredictionError, match="1 of the comparison"):
        verify_saved_model(
            saved_model, network=served(network), prepare=prepare, images=[toy_image(33, 65)]
        )


def test_no_file_can_be_verified_against_nan():
    def network(images):
        return {"segment_score": tf.sqrt(9 - images[:, 0, :3, 0])}

    with pytest.raises(NonFinitePredictionError, match="2 of the comparison"):
        verify_network_file(
            "onnx",
            lambda image: {"segment_score": np.full([1, 3], 3, np.float32)},
            network=network,
            prepare=prepare,
            images=[np.zeros([*SIZE, 3], np.uint8), np.full([*SIZE, 3], 100, np.uint8)],
        )


@pytest.mark.parametrize(("half_weights", "passes"), [(False, False), (True, True)])
def test_the_worst_image_of_a_file_counts(half_weights, passes):
    """Logits that are 1 % off on the second image of three."""
    logits = np.full([1, 2, 2, 3], 100, np.float32)

    def run(image):
        return {
            "mask_logits": logits * (1.01 if image[0, 0, 0, 0] == 2 else 1),
            "segment_score": np.zeros([1, 3], np.float32),
        }

    rows = verify_network_file(
        "onnx",
        run,
        network=lambda images: {
            "mask_logits": tf.constant(logits),
            "segment_score": tf.zeros([1, 3]),
        },
        prepare=prepare,
        images=[np.full([*SIZE, 3], value, np.uint8) for value in (1, 2, 3)],
        half_weights=half_weights,
    )
    assert {row.output: row.passed for row in rows} == {
        "mask_logits": passes,
        "segment_score": True,
    }
    assert max(row.difference for row in rows) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("changed", "passes"), [(0, True), (1, False)])
def test_a_runtime_has_the_bounds_of_a_saved_model(changed, passes):
    size = SIZE[0] * SIZE[1]  # 2145 pixels
    maps = np.zeros([1, size], np.int32)
    other = maps.copy()
    other[0, :changed] = 1
    scores = np.zeros([1, 3], np.float32)
    rows = verify_network_file(
        "onnx",
        lambda image: {"semantic": other.reshape([1, *SIZE]), "segment_score": scores},
        network=lambda images: {
            "semantic": tf.constant(maps.reshape([1, *SIZE])),
            "segment_score": tf.constant(scores),
        },
        prepare=prepare,
        images=IMAGES[:1],
    )
    assert all(row.passed for row in rows) == passes


def test_a_row_that_depends_on_its_batch_is_noticed(tmp_path):
    """Each image is dimmed by the first one of its batch: right alone, wrong together."""
    network = ToyNetwork()

    def leaking(images):
        return served(network)(images - 0.3 * images[:1])

    def right_alone(images):
        return served(network)(0.7 * images)

    Serving(leaking, prepare=prepare, input_size=SIZE).save(tmp_path, assets=[])
    saved_model = tf.saved_model.load(str(tmp_path))
    rows = verify_saved_model(saved_model, network=right_alone, prepare=prepare, images=IMAGES)
    failed = {(row.signature, row.batch, row.against) for row in rows if not row.passed}
    assert ("serving_default", 3, verify.ALONE) in failed
    assert not [row for row in failed if row[1] == 1]


def test_a_batch_of_free_size_is_padded_as_its_largest_image_needs(tmp_path):
    """The mean of the input, padding included, decides: it tells how much was padded."""

    def network(images):
        mean = tf.reduce_mean(images, axis=[1, 2, 3])
        size = tf.fill(tf.shape(mean), tf.shape(images)[2])
        return {"segment_score": mean[:, None] / 255, "segment_id": size[:, None]}

    serving = Serving(network, prepare=prepare, input_size=SIZE, stride=16)
    serving.save(tmp_path, assets=[])
    options = {"network": network, "prepare": prepare, "images": IMAGES}
    saved_model = tf.saved_model.load(str(tmp_path))
    rows = verify_saved_model(saved_model, stride=16, **options)
    assert all(row.passed for row in rows)
    assert not [row for row in rows if row.against == verify.ALONE]
    small = serving.from_tensor(tf.constant(IMAGES[2][None]))  # 33 x 30 -> 33 x 33
    assert small["segment_id"].numpy().tolist() == [[33]]
    fixed = verify_saved_model(saved_model, **options)
    assert not all(row.passed for row in fixed)


@pytest.mark.parametrize(("difference", "passes"), [(0.5, True), (0.002, False)])
def test_scores_and_logits_have_bounds_of_their_own(difference, passes):
    """A score of another slot in few pixels may differ a lot, in all pixels not even a little."""
    sizes = {"image_size": np.zeros((1, 2), np.int32)}
    expected = {**sizes, "instance_score": np.zeros((1, 200, 100), np.float32)}
    received = {**sizes, "instance_score": expected["instance_score"].copy()}
    received["instance_score"][0, 0, 0 : 1 if passes else 100] = difference
    rows = verify._compare("image_tensor", received, expected, exact=True, batch=1)
    assert all(row.passed for row in rows) == passes
    logits = {**sizes, "mask_logits": np.full((1, 2, 2, 3), 100.0, np.float32)}
    moved = {**sizes, "mask_logits": logits["mask_logits"] + (0.05 if passes else 0.5)}
    rows = verify._compare("image_tensor", moved, logits, exact=True, batch=1)
    assert all(row.passed for row in rows) == passes


@pytest.mark.parametrize(("compute_dtype", "passes"), [("float32", False), ("bfloat16", True)])
def test_half_types_may_round_elsewhere(compute_dtype, passes):
    exact = compute_dtype == "float32"
    maps = {name: np.zeros((1, 40, 50), np.int32) for name in ("panoptic", "semantic")}
    rows = {name: np.zeros((1, 3), np.int32) for name in ROWS}
    sizes = {"valid_size": np.zeros((1, 2), np.int32), "image_size": np.zeros((1, 2), np.int32)}
    expected = {**maps, **rows, **sizes, "segment_score": np.zeros((1, 3), np.float32)}
    received = {**expected, "semantic": maps["semantic"].copy()}
    received["semantic"][0, 0, :5] = 1  # 5 of 2000 pixels.
    compared = verify._compare("image_tensor", received, expected, exact=exact, batch=1)
    assert all(row.passed for row in compared) == passes
    received["semantic"][0, 0, :] = 1  # 50 of them are too many in any type.
    compared = verify._compare("image_tensor", received, expected, exact=exact, batch=1)
    assert not all(row.passed for row in compared)

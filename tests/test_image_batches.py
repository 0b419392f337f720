"""Batches of images of different sizes: built here and loaded, with the same results."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.export.export import ExportOptions, export_model
from kmax_tf.image_batches import batches_of_model, batches_of_saved_model
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image

IMAGES = [toy_image(20, 40, 1), toy_image(33, 65, 2), toy_image(9, 50, 3)]


@pytest.fixture(scope="module", params=["model", "saved_model"])
def run(request, tmp_path_factory):
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    if request.param == "model":
        return batches_of_model(inference, jit_compile=None)
    folder = tmp_path_factory.mktemp("models")
    export_model(
        inference, ExportOptions("toy"), export_dir=folder, version=1, images=[toy_image(33, 65)]
    )
    return batches_of_saved_model(tf.saved_model.load(f"{folder}/1"))


@pytest.mark.parametrize("count", [1, 3])
def test_each_image_gets_its_maps_and_rows(run, count):
    everything = run(IMAGES[:count])
    assert len(everything) == count
    for image, found in zip(IMAGES, everything):
        expected = 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
        np.testing.assert_array_equal(found["semantic"], expected)
        np.testing.assert_array_equal(found["panoptic"], expected * 256 + (expected == 3))
        present = np.isin([1, 2, 3], expected)
        np.testing.assert_array_equal(found["segment_id"] >= 0, present)
        np.testing.assert_allclose(found["segment_score"], np.array([0.5, 0.6, 0.7]) * present)


def test_maps_come_back_at_the_size_of_the_image():
    def halve(image: tf.Tensor):
        half = tf.cast(image[::2, ::2], tf.float32)
        missing = tf.constant(SIZE) - tf.shape(half)[:2]
        padded = tf.pad(half, [[0, missing[0]], [0, missing[1]], [0, 0]])
        return tf.ensure_shape(padded, [*SIZE, 3]), tf.shape(half)[:2]

    run = batches_of_model(Inference(ToyNetwork(), halve, SIZE, INFO), jit_compile=None)
    image = toy_image(64, 128, 1)
    (found,) = run([image])
    # Blocks of 8 pixels: their borders may move by a pixel, not more.
    wrong = found["semantic"] != 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
    assert found["semantic"].shape == (64, 128)
    assert wrong.mean() < 0.15
    assert not wrong[2:6, 2:6].any()


def test_xla_gives_the_same():
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    compiled = batches_of_model(inference, jit_compile=True)(IMAGES)
    plain = batches_of_model(inference, jit_compile=None)(IMAGES)
    for one, other in zip(compiled, plain):
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_model_without_maps_is_refused(tmp_path):
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    export_model(
        inference,
        ExportOptions("toy", outputs=("panoptic",)),
        export_dir=tmp_path,
        version=1,
        images=[toy_image(33, 65)],
    )
    with pytest.raises(ValueError, match=r"`saved_model` must return .* it lacks semantic"):
        batches_of_saved_model(tf.saved_model.load(f"{tmp_path}/1"))

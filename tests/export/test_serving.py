"""The serving functions: both inputs, batches of mixed sizes, broken images, a saved graph."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.export.serving import Serving
from kmax_tf.results.restore import restore_map
from tests.export.toy import SIZE, ToyNetwork, prepare, served, toy_image
from tests.image_bombs import HUGE, LARGE, full_png, jpeg_bomb, png_bomb


@pytest.fixture(scope="module")
def serving() -> Serving:
    network = ToyNetwork()
    return Serving(served(network), prepare=prepare, input_size=SIZE)


def png(image: np.ndarray) -> bytes:
    return tf.io.encode_png(image).numpy()


def test_bytes_of_mixed_sizes_in_one_batch(serving):
    images = [toy_image(20, 31), toy_image(33, 65, 1), toy_image(9, 50, 2)]
    outputs = serving.from_bytes(tf.constant([png(image) for image in images]))
    assert {name: list(value.shape) for name, value in outputs.items()} == {
        "panoptic": [3, *SIZE],
        "semantic": [3, *SIZE],
        "segment_id": [3, 3],
        "segment_class": [3, 3],
        "segment_score": [3, 3],
        "valid_size": [3, 2],
        "image_size": [3, 2],
    }
    np.testing.assert_array_equal(outputs["image_size"], [i.shape[:2] for i in images])
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        expected = 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
        np.testing.assert_array_equal(outputs["semantic"][index, :height, :width], expected)


def test_tensor_maps_come_back_at_the_size_of_the_image(serving):
    images = np.stack([toy_image(40, 30, seed) for seed in range(2)])
    outputs = serving.from_tensor(images)
    assert outputs["panoptic"].shape == (2, 40, 30)
    assert outputs["panoptic"].dtype == tf.int32
    np.testing.assert_array_equal(outputs["valid_size"], [[33, 30]] * 2)
    np.testing.assert_array_equal(outputs["image_size"], [[40, 30]] * 2)
    small = serving.from_bytes(tf.constant([png(image) for image in images]))
    for index in range(2):
        expected = restore_map(small["panoptic"][index].numpy(), (33, 30), (40, 30))
        np.testing.assert_array_equal(outputs["panoptic"][index], expected)


def test_only_variables_that_are_read_are_saved(serving, tmp_path):
    (tmp_path / "labels.json").write_text("{}")
    serving.save(tmp_path / "saved", assets=[tmp_path / "labels.json"])
    assert (tmp_path / "saved" / "assets" / "labels.json").read_text() == "{}"
    variables = tf.saved_model.load(str(tmp_path / "saved")).weights
    assert [variable.shape for variable in variables] == [2]


def test_signatures_have_no_fixed_batch_size(serving):
    for function in serving.signatures().values():
        for tensor in [*function.inputs[:1], *function.outputs]:
            assert tensor.shape[0] is None
        stateful = {op.type for op in function.graph.get_operations()}
        assert not stateful & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}


@pytest.mark.parametrize("broken", [b"", b"hello", b"GIF89a and more", png(toy_image(9, 9))[:60]])
def test_a_broken_image_fails_the_request(serving, broken):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        serving.from_bytes(tf.constant([png(toy_image(8, 8)), broken]))
    message = str(caught.value)
    is_cut = broken.startswith(b"\x89PNG")
    fault = "is cut off" if is_cut else "must be a JPEG or PNG file; it is neither"
    assert f"[`image_bytes` at index] [1] [{fault}" in message


@pytest.mark.parametrize("bomb", [png_bomb(*HUGE), full_png(*LARGE), jpeg_bomb(*LARGE)])
def test_a_bomb_fails_its_request_and_takes_no_memory(serving, bomb):
    good = png(toy_image(8, 8))
    serving.from_bytes(tf.constant([good]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        serving.from_bytes(tf.constant([good, good, bomb]))
    assert "[`image_bytes` at index] [2] [has height and width]" in caught.value.message
    # In kilobytes; decoded, the images have 216 MB and more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert serving.from_bytes(tf.constant([good]))["image_size"].numpy().tolist() == [[8, 8]]

"""The exported model in a runtime without Python, the one that TensorFlow Serving is made of."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.export.toy import toy_image
from tests.serving import second_runtime
from tests.serving.toy_export import export_toy

pytestmark = pytest.mark.skipif(
    second_runtime.compiler() is None, reason="no C compiler (cc, gcc or clang) was found"
)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return export_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return second_runtime.build(
        tmp_path_factory.mktemp("program"), second_runtime.tensorflow_folder()
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """JPEG files of three sizes."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for index, size in enumerate([(20, 31), (33, 65), (50, 30)]):
        path = folder / f"{index}.jpg"
        path.write_bytes(tf.io.encode_jpeg(toy_image(*size, index)).numpy())
        paths.append(path)
    return paths


def served_in_python(saved_model, images):
    loaded = tf.saved_model.load(str(saved_model))
    files = tf.constant([path.read_bytes() for path in images])
    outputs = loaded.signatures["serving_default"](image_bytes=files)
    return {name: value.numpy() for name, value in outputs.items()}


def check_same_maps(received, expected):
    assert sorted(received) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value, err_msg=name)
    assert len(np.unique(expected["panoptic"])) > 1


def test_a_batch_of_jpegs_gives_the_same_maps(program, saved_model, images, tmp_path):
    finished = second_runtime.run(program, saved_model, images, tmp_path / "out")
    assert finished.code == 0, finished.errors
    assert finished.lines[0] == f"TensorFlow {tf.__version__}"
    check_same_maps(finished.outputs, served_in_python(saved_model, images))
    # The requests that a server replays before it calls the model ready.
    assert finished.lines[-2:] == ["replayed serving_default", "replayed image_tensor"]


def test_a_broken_image_fails_its_request_alone(program, saved_model, images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(images[0].read_bytes()[:100])
    finished = second_runtime.run(program, saved_model, [images[0], broken], tmp_path / "out")
    assert finished.code == 3
    assert finished.lines[1].startswith("failed: ")
    assert finished.outputs == {}
    assert finished.lines[-1] == "replayed image_tensor"  # The process goes on.


def test_the_other_tensorflow_gives_the_same_maps(saved_model, images, tmp_path, repository_root):
    """Exported here, loaded by the library of the other supported version."""
    python = second_runtime.other_python(repository_root)
    if python is None:
        pytest.skip(f"no second environment: set {second_runtime.OTHER_PYTHON} to its interpreter")
    program = second_runtime.build(tmp_path, second_runtime.tensorflow_folder(python))
    finished = second_runtime.run(program, saved_model, images, tmp_path / "out")
    assert finished.code == 0, finished.errors
    assert finished.lines[0] != f"TensorFlow {tf.__version__}"
    check_same_maps(finished.outputs, served_in_python(saved_model, images))
    assert finished.lines[-1] == "replayed image_tensor"

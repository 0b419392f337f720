"""Every unusual image through every door: the right answer, or an error that names the image."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.predictor import Predictor
from tests.export.toy import toy_image
from tests.serving.servers import Runner, grpc_server
from tests.serving.toy_export import export_toy
from tests.serving.unusual_images import toy_classes, unusual_images
from trainer import cli

IMAGES = unusual_images()
GOOD = tf.io.encode_png(toy_image(9, 9)).numpy()
NAMES_NO_INDEX = ("damaged.png",)
"""Complete and nevertheless wrong: the decoder says so, which knows of no index."""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return export_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("unusual")
    for name, image in IMAGES.items():
        (path / name).write_bytes(image.content)
    return path


@pytest.fixture(scope="module")
def run(saved_model):
    return Runner(saved_model)


@pytest.mark.parametrize("name", IMAGES)
def test_the_signature_takes_jpeg_and_png_and_names_the_index_of_what_it_cannot_use(run, name):
    image = IMAGES[name]
    if image.sent_as_it_is:
        outputs = run([GOOD, image.content])
        height, width = outputs["valid_size"][1]
        # The graph knows nothing of EXIF.
        shown = np.rot90(image.gray) if name == "rotated.jpg" else image.gray
        found = outputs["semantic"][1, :height, :width]
        np.testing.assert_array_equal(found, toy_classes(shown))
        return
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run([GOOD, image.content, GOOD])
    assert ("`image_bytes` at index] [1]" in str(caught.value)) != (name in NAMES_NO_INDEX)
    assert len(run([GOOD])["panoptic"]) == 1  # Alive.


@pytest.mark.parametrize("name", IMAGES)
def test_the_predictor_takes_all_that_shows_something(saved_model, folder, name):
    image = IMAGES[name]
    predictor = Predictor(saved_model=saved_model)
    if image.gray is None:
        with pytest.raises(ValueError, match=f"{name} .*{image.message}"):
            predictor(folder / name)
        return
    np.testing.assert_array_equal(predictor(folder / name).semantic, toy_classes(image.gray))


@pytest.mark.parametrize("door", ["predict", "serve-client"])
def test_the_commands_name_what_they_cannot_use_and_go_on(
    door, saved_model, run, folder, tmp_path, capsys
):
    flags = [str(folder), f"--output_dir={tmp_path}", "--batch_size=4"]
    if door == "predict":
        assert cli.main([door, f"--saved_model={saved_model}", *flags]) == 2
    else:
        with grpc_server("toy", run) as address:
            flags += [f"--address={address}", "--model_name=toy", f"--labels={saved_model}"]
            assert cli.main([door, *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kmax: ")]
    broken = {name: image for name, image in IMAGES.items() if image.gray is None}
    assert len(errors) == len(broken)
    for name, image in broken.items():
        assert [line for line in errors if f"/{name} " in line and image.message in line], name
    answered = json.loads((tmp_path / "panoptic.json").read_text())["images"]
    assert sorted(row["file_name"] for row in answered) == sorted(set(IMAGES) - set(broken))
    shapes = {row["file_name"]: (row["height"], row["width"]) for row in answered}
    assert shapes["rotated.jpg"] == (31, 20)

"""A full-size model as a file of every format, beside its SavedModel."""

from __future__ import annotations

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.inference import build_inference
from kmax_tf.build.model import build_model
from kmax_tf.export.export import ExportOptions, export_model
from kmax_tf.export.network_file import FORMATS, load_network_file
from kmax_tf.export.verify import verification_images
from trainer.bench.setting import apply_crop

SIZE = (129, 129)
OUTPUTS = ("panoptic", "semantic", "scores", "mask_logits")


@pytest.fixture(scope="module")
def inference():
    root = pathlib.Path(__file__).parents[2]
    config = load_config(str(root / "configs/coco/kmax_r50.textproto"))
    apply_crop(config, SIZE)
    tf.keras.utils.set_random_seed(3)
    model = build_model(config)
    for index, variable in enumerate(model.trainable_variables):
        if variable.shape.rank == 1:  # Norms that start with 0 would leave whole blocks out.
            noise = tf.random.stateless_normal(variable.shape, [index, 2])
            variable.assign_add(0.2 * noise)
    return build_inference(config, model=model)


@pytest.fixture(scope="module")
def saved_model(inference, tmp_path_factory):
    report = export_model(
        inference,
        ExportOptions("r50", OUTPUTS),
        export_dir=tmp_path_factory.mktemp("saved"),
        version=1,
        images=verification_images(SIZE)[:1],
    )
    return tf.saved_model.load(str(report.folder))


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_full_size_model_gives_what_its_saved_model_gives(
    file_format, inference, saved_model, tmp_path
):
    if file_format == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        pytest.skip("the extra [onnx] is not installed")
    images = verification_images(SIZE)[:1]
    options = ExportOptions("r50", OUTPUTS, file_format=file_format)
    report = export_model(inference, options, export_dir=tmp_path, version=1, images=images)
    assert report.passed
    run = load_network_file(file_format, report.folder)
    for image in (images[0], images[0][:, ::-1].copy()):
        expected = saved_model.signatures["image_tensor"](image=tf.constant(image[None]))
        received = run(image[None].astype(np.float32))
        for name in ("panoptic", "semantic"):
            assert np.mean(received[name] != expected[name].numpy()) < 1e-3
        for name in ("mask_logits", "class_logits"):
            wanted = expected[name].numpy()
            assert np.abs(received[name] - wanted).max() < 1e-4 * np.abs(wanted).max()
        assert len(np.unique(received["class_logits"])) > 1000

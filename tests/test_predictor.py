"""The predictor on images of all kinds, from a checkpoint and from a SavedModel."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kmax_tf
from kmax_tf.build.config import load_config
from kmax_tf.build.inference import Inference, build_inference
from kmax_tf.export.export import export_saved_model
from kmax_tf.results.coco_panoptic import read_ids
from kmax_tf.results.restore import restore_map
from tests import tiny
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of the versions of a toy SavedModel."""
    folder = tmp_path_factory.mktemp("models")
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    for version in (2, 10):
        export_saved_model(
            inference,
            export_dir=folder,
            version=version,
            model_name="toy",
            images=[toy_image(33, 65)],
        )
    return folder


@pytest.fixture(scope="module")
def predictor(exported) -> kmax_tf.Predictor:
    return kmax_tf.Predictor(saved_model=exported)


def test_one_image_of_every_kind(predictor, tmp_path):
    image = toy_image(20, 40, 1)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    (tmp_path / "street.png").write_bytes(file.getvalue())
    expected = 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
    for source in (image, Image.fromarray(image), file.getvalue(), tmp_path / "street.png"):
        result = predictor(source)
        np.testing.assert_array_equal(result.semantic, expected)
        np.testing.assert_array_equal(result.panoptic, expected * 256 + (expected == 3))
        np.testing.assert_array_equal(result.image, image)
    assert result.name == "street"
    bright = next(segment for segment in result.segments if segment.name == "bright")
    assert bright.segment_id == 3 * 256 + 1
    assert bright.area == (expected == 3).sum()
    assert bright.score == pytest.approx(0.7)


def test_exif_rotation_is_applied(predictor):
    image = toy_image(16, 32, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", exif=exif)
    turned = predictor(np.ascontiguousarray(np.rot90(image, -1)))
    np.testing.assert_array_equal(predictor(file.getvalue()).panoptic, turned.panoptic)


def test_a_list_gives_a_list(predictor):
    results = predictor([toy_image(10, 20), toy_image(30, 15)])
    assert [result.panoptic.shape for result in results] == [(10, 20), (30, 15)]


def test_files_of_a_result(predictor, tmp_path):
    image = toy_image(24, 40, 1)
    result = predictor(image)
    result.save(tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["image_overlay.png", "image_panoptic.json", "image_panoptic.png"]
    content = json.loads((tmp_path / "new" / "image_panoptic.json").read_text())
    ids = read_ids(tmp_path / "new" / "image_panoptic.png")
    assert ids.shape == (24, 40)
    segments = content["annotations"][0]["segments_info"]
    assert {s["id"]: s["area"] for s in segments} == {
        int(i): int((ids == i).sum()) for i in np.unique(ids)
    }
    assert {s["category_id"] for s in segments} <= {10, 20, 30}
    with Image.open(tmp_path / "new" / "image_overlay.png") as overlay:
        assert overlay.width / overlay.height == pytest.approx(40 / 24)


def test_a_real_model_gives_what_its_parts_give(tmp_path):
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    prefix = tiny.write_checkpoint(tmp_path)
    model = kmax_tf.build_model(config)
    kmax_tf.load_checkpoint(model, prefix)
    image = np.random.RandomState(0).randint(0, 255, (50, 90, 3)).astype(np.uint8)
    result = kmax_tf.Predictor(config, model=model)(image)
    parts = build_inference(config, checkpoint=prefix)
    prepared, valid_size = parts.prepare(tf.constant(image))
    prediction = parts.network(prepared[tf.newaxis])
    for name in ("panoptic", "semantic"):
        label_map = getattr(prediction, name)[0].numpy()
        expected = restore_map(label_map, valid_size.numpy(), (50, 90))
        np.testing.assert_array_equal(getattr(result, name), expected)
    assert len(result.segments) > 1


def test_version_folders(exported):
    assert kmax_tf.Predictor(saved_model=exported / "2").info == INFO
    with pytest.raises(ValueError, match="`saved_model` must be a folder that `kmax export` wrote"):
        kmax_tf.Predictor(saved_model=exported / "3")


def test_contradicting_arguments_are_named():
    with pytest.raises(ValueError, match=r"one of `checkpoint`, `saved_model` and `model`.*none"):
        kmax_tf.Predictor()
    with pytest.raises(ValueError, match="received checkpoint and saved_model"):
        kmax_tf.Predictor(checkpoint="a", saved_model="b")
    with pytest.raises(ValueError, match="needs a `config` beside `checkpoint`"):
        kmax_tf.Predictor(checkpoint="a")
    with pytest.raises(ValueError, match="There is no checkpoint none"):
        kmax_tf.Predictor(load_config(tiny.CONFIG), checkpoint="none")

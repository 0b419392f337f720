"""Writing a version folder: complete, atomic, never over an existing one, loud when wrong."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.export import export as export_module
from kmax_tf.export.export import ExportOptions, export_model, free_version_folder
from kmax_tf.export.precision_cost import (
    FOUND_AGAIN,
    SAME_CLASS,
    SAME_SEGMENT,
    SCORE_DIFFERENCE,
)
from kmax_tf.export.verify import Comparison
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image

OPTIONS = ExportOptions("toy", post_processing={"method": "mask_wise", "threshold": 0.7})
IMAGES = [toy_image(33, 65), toy_image(40, 30, 1)]


@pytest.fixture
def inference() -> Inference:
    network = ToyNetwork()
    return Inference(network, prepare, SIZE, INFO)


def export(inference, folder, version=1, describe=None):
    return export_model(
        inference, OPTIONS, export_dir=folder, version=version, images=IMAGES, describe=describe
    )


def test_version_folder_is_complete(inference, tmp_path):
    report = export(inference, tmp_path / "models" / "toy")
    assert report.passed
    assert report.folder == tmp_path / "models" / "toy" / "1"
    assert load_dataset_info(str(report.folder / "assets" / "labels.json")) == INFO
    thresholds = json.loads((report.folder / "assets" / "post_processing.json").read_text())
    assert thresholds == {"method": "mask_wise", "threshold": 0.7}
    assert (report.folder / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    assert [p.name for p in report.folder.parent.iterdir()] == ["1"]
    assert os.stat(report.folder).st_mode & 0o055 == 0o055
    assert report.megabytes > 0
    assert report.verification.num_segments == 6  # Dark, middle and bright in both images.
    signatures = tf.saved_model.load(str(report.folder)).signatures
    assert sorted(signatures) == ["image_tensor", "serving_default"]
    outputs = signatures["image_tensor"](image=tf.constant(IMAGES[1][None]))
    expected = 1 + (IMAGES[1][..., 0] > 85) + (IMAGES[1][..., 0] > 170)
    # 33 valid rows are stretched to 40 by the nearest neighbour.
    np.testing.assert_array_equal(outputs["semantic"][0, 0], expected[0])


def test_existing_versions_are_left_alone(inference, tmp_path):
    (tmp_path / "3").mkdir()
    with pytest.raises(ValueError, match=r"already holds version 3: give `--version=4`"):
        export(inference, tmp_path, version=3)
    assert free_version_folder(tmp_path, 4) == tmp_path / "4"
    with pytest.raises(ValueError, match="at least 1; received 0"):
        free_version_folder(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        free_version_folder(tmp_path / "file", 1)


def test_the_card_is_made_from_the_finished_model(inference, tmp_path, monkeypatch):
    seen = []

    def describe(folder, saved_model, verification):
        seen.append(len(verification.comparisons))
        assert sorted(saved_model.signatures) == ["image_tensor", "serving_default"]
        assert (folder / "saved_model.pb").exists()
        assert not (tmp_path / "1").exists()  # What is served never changes.
        return {"name": "toy"}

    monkeypatch.setattr(
        export_module,
        "write_model_card",
        lambda folder, card: (folder / "assets.extra" / "card").write_text(card["name"]),
    )
    report = export(inference, tmp_path, describe=describe)
    assert seen == [len(report.verification.comparisons)]
    assert (report.folder / "assets.extra" / "card").read_text() == "toy"


def test_a_half_type_is_compared_with_float32(inference, tmp_path):
    """Not at all where no float32 model is given, and it fails only where it is absurd."""
    assert export(inference, tmp_path).verification.precision_cost == ()
    exact, other = ToyNetwork(), ToyNetwork()
    other.thresholds.assign([0.0, 30.0])  # Everything is bright.
    costs = {}
    for version, network in ((2, exact), (3, other)):
        report = export_model(
            inference,
            OPTIONS,
            export_dir=tmp_path,
            version=version,
            images=IMAGES,
            reference=lambda: Inference(network, prepare, SIZE, INFO),  # noqa: B023
        )
        costs[version] = {row.measure: row.mean for row in report.verification.precision_cost}
        assert report.passed == (tmp_path / str(version)).exists() == (version == 2)
    assert costs[2] == {SAME_CLASS: 1, SAME_SEGMENT: 1, FOUND_AGAIN: 1, SCORE_DIFFERENCE: 0}
    bright = [np.mean(image[: SIZE[0], : SIZE[1], 0] > 170) for image in IMAGES]
    assert costs[3][SAME_CLASS] == pytest.approx(np.mean(bright))


def test_a_free_size_is_exported_and_verified(inference, tmp_path):
    report = export_model(
        inference._replace(stride=16),
        OPTIONS._replace(free_size=True),
        export_dir=tmp_path,
        version=1,
        images=IMAGES,
    )
    assert report.passed
    loaded = tf.saved_model.load(str(report.folder)).signatures["serving_default"]
    files = tf.constant([tf.io.encode_png(toy_image(20, 31)).numpy()])
    assert loaded(image_bytes=files)["panoptic"].shape == (1, 33, 33)


def test_a_difference_leaves_no_version_behind(inference, tmp_path, monkeypatch):
    wrong = [Comparison("image_tensor", 1, "panoptic", 0.5, 1e-4)]
    monkeypatch.setattr(export_module, "verify_saved_model", lambda *_, **__: wrong)
    report = export(inference, tmp_path)
    assert not report.passed
    assert list(tmp_path.iterdir()) == []

"""`kmax export` on a tiny model, from checkpoint to a verified version folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.export import export as export_module
from kmax_tf.export.verify import Comparison
from kmax_tf.predictor import Predictor
from tests import tiny
from tests.full_disk import full_disk
from trainer import cli


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("run"))


def test_exports_and_verifies(checkpoint, tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    for override in tiny.WITHOUT_THRESHOLDS:
        flags += ["--set", override]
    assert cli.main(["export", *flags, f"--export_dir={tmp_path}", "--version=3"]) == 0
    out = capsys.readouterr().out
    assert f"Exported {tmp_path}/3" in out
    assert f"Wrote {tmp_path}/models.config" in out
    card = json.loads((tmp_path / "3" / "assets.extra" / "model_card.json").read_text())
    assert card["name"] == "tiny"
    assert card["facts"]["computed in"] == "float32"
    assert card["latency"]["seconds"] > 0
    assert "times the forward pass of Keras' ResNet-50" in card["facts"]["latency of an image"]
    assert card["post_processing"]["reorder_mask_weight"] == 1
    assert card["signatures"]["serving_default"]["image_bytes (input)"] == "string [None]"
    assert "DIFFERS" not in out
    loaded = tf.saved_model.load(str(tmp_path / "3"))
    image = tf.constant(np.random.RandomState(0).randint(0, 255, (2, 30, 80, 3)), tf.uint8)
    outputs = loaded.signatures["image_tensor"](image=image)
    assert outputs["panoptic"].shape == (2, 30, 80)
    assert outputs["segment_id"].shape == (2, 8)
    assert len(np.unique(outputs["panoptic"])) > 1

    again = ["export", *flags, f"--export_dir={tmp_path}", "--version=3"]
    assert cli.main(again) == 2
    assert "already holds version 3" in capsys.readouterr().err

    assert cli.main([*again, "--verify", f"--images={_image(tmp_path)}"]) == 0
    out = capsys.readouterr().out
    assert "serving_default      1  alone" in out
    assert "Exported" not in out
    assert "No segment was found" not in out
    other = ["--set", "evaluator_options.post_processing.thing_area_limit=100000"]
    assert cli.main([*again, *other, "--verify"]) == 1
    assert "DIFFERS" in capsys.readouterr().out

    labels = tmp_path / "3" / "assets" / "labels.json"
    labels.write_text(labels.read_text().replace("circle", "disc"))
    assert cli.main([*again, "--verify"]) == 2
    assert "of the classes that `--config_file` names" in capsys.readouterr().err


def test_a_comparison_without_segments_says_how_little_it_says(checkpoint, tmp_path, capsys):
    strict = "evaluator_options.post_processing.pixel_confidence_threshold=1"
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}", "--set", strict]
    assert cli.main(["export", *flags, f"--export_dir={tmp_path}", "--no_latency"]) == 0
    assert "No segment was found" in capsys.readouterr().out


def test_a_full_disk_leaves_no_version_behind(checkpoint, tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    with full_disk(30_000):
        assert cli.main(["export", *flags, f"--export_dir={tmp_path}"]) == 1
    assert f"kmax: {tmp_path}: cannot be written: File too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_half_type_free_size_and_all_outputs(checkpoint, tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    flags += [f"--export_dir={tmp_path}", "--no_latency"]
    half = ["--precision=bfloat16", "--input_size=free", "--outputs=semantic,scores,mask_logits"]
    assert cli.main(["export", *flags, *half]) == 0
    out = capsys.readouterr().out
    assert "DIFFERS" not in out
    assert "the SavedModel against the float32 model" in out
    assert "pixels of the same class" in out
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    stored = [variable.dtype for variable in loaded.weights]
    assert stored.count(tf.bfloat16) > 50
    image = tf.constant(np.random.RandomState(0).randint(0, 255, (1, 20, 80, 3)), tf.uint8)
    outputs = loaded.signatures["image_tensor"](image=image)
    assert outputs["instance_score"].shape == (1, 20, 80)
    assert outputs["mask_logits"].shape == (1, 9, 17, 8)  # 33 x 65 at stride 4, not 65 x 65.
    assert "panoptic" not in outputs
    card = json.loads((tmp_path / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["latency"] is None
    assert [row["measure"] for row in card["precision_cost"]] == ["pixels of the same class"]
    assert 0.5 < card["precision_cost"][0]["worst"] <= 1
    assert card["facts"]["weights stored in"] == "kernels bfloat16, the rest float32"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--outputs=boxes"], "`outputs` accepts panoptic, semantic, scores"),
        (["--input_size=64,64"], "`--input_size=64,64` does not fit"),
        (["--input_size=x"], "such as 641,641, or free; received 'x'"),
        (
            ["--input_size=free", "--set", "evaluator_options.eval_scales=1,2"],
            "`--input_size=free` needs a single pass",
        ),
        (["--verify"], "`--verify` compares an exported version"),
        (["--images=nowhere.jpg"], "Image nowhere.jpg does not exist"),
    ],
)
def test_wrong_flags_are_one_sentence(checkpoint, tmp_path, capsys, flags, message):
    given = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    try:
        code = cli.main(["export", *given, f"--export_dir={tmp_path}", *flags])
    except SystemExit as error:  # Of the argument parser.
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err


def _image(folder) -> str:
    path = folder / "image.png"
    pixels = np.random.RandomState(1).randint(0, 255, (50, 40, 3)).astype(np.uint8)
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    return str(path)


def test_averaged_weights_are_exported_unless_raw_ones_are_asked_for(tmp_path, capfd, monkeypatch):
    # Seconds, and not what this is about.
    monkeypatch.setattr(export_module, "verify_saved_model", lambda *_, **__: [])
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    models = [build_model(config), build_model(config)]
    for seed, model in enumerate(models):
        for index, variable in enumerate(model.trainable_variables):
            noise = tf.random.stateless_normal(variable.shape, [index, seed])
            variable.assign_add(0.5 * noise)
    raw, averaged = models
    checkpoint = tf.train.Checkpoint(model=raw, average=averaged).write(str(tmp_path / "ckpt-1"))
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    for override in tiny.WITHOUT_THRESHOLDS:
        flags += ["--set", override]
    image = np.random.RandomState(0).randint(0, 255, (60, 50, 3)).astype(np.uint8)
    panoptic = {}
    for name, extra in (("averaged", []), ("raw", ["--raw_weights"])):
        folder = tmp_path / name
        chosen = [f"--export_dir={folder}", "--outputs=panoptic,semantic", "--no_latency", *extra]
        assert cli.main(["export", *flags, *chosen]) == 0
        said = "moving average of the weights" in capfd.readouterr().err
        assert said == (name == "averaged")
        panoptic[name] = Predictor(saved_model=folder)(image).panoptic
    expected = Predictor(config, model=averaged)(image).panoptic
    assert np.mean(expected != panoptic["averaged"]) < 1e-3  # Folded batch norms round elsewhere.
    from_checkpoint = Predictor(config, checkpoint=checkpoint, raw_weights=True)
    np.testing.assert_array_equal(from_checkpoint(image).panoptic, panoptic["raw"])
    assert np.mean(panoptic["raw"] != panoptic["averaged"]) > 0.1


def test_a_difference_is_loud(checkpoint, tmp_path, capsys, monkeypatch):
    wrong = [Comparison("image_tensor", 1, "panoptic", 0.5, 1e-4)]
    monkeypatch.setattr(export_module, "verify_saved_model", lambda *_, **__: wrong)
    monkeypatch.setattr(export_module, "_write", lambda *_: None)
    monkeypatch.setattr(export_module, "load_saved_model", lambda _: None)
    monkeypatch.setattr(export_module, "_count_segments", lambda *_: 1)
    flags = [f"--config_file={tiny.CONFIG}", f"--checkpoint={checkpoint}"]
    assert cli.main(["export", *flags, f"--export_dir={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out
    assert "Nothing was exported" in out
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_is_one_sentence(tmp_path, capsys):
    flags = [f"--config_file={tiny.CONFIG}", "--checkpoint=none", f"--export_dir={tmp_path}"]
    assert cli.main(["export", *flags]) == 2
    assert "kmax: There is no checkpoint none" in capsys.readouterr().err

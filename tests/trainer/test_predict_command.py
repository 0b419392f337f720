"""`kmax predict`: files, table, unreadable images and contradicting flags."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kmax_tf.build.inference import Inference
from kmax_tf.export.export import ExportOptions, export_model
from kmax_tf.results.coco_panoptic import CocoPanopticWriter
from tests import tiny
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image
from trainer import cli, predict_command


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> str:
    """A toy SavedModel as `kmax export` writes it."""
    folder = tmp_path_factory.mktemp("models")
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    export_model(
        inference, ExportOptions("toy"), export_dir=folder, version=1, images=[toy_image(33, 65)]
    )
    return f"{folder}/1"


@pytest.fixture
def images(tmp_path):
    """Folder with two images, one of them named like a third outside."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(toy_image(20, 40)).save(folder / "000139.png")
    Image.fromarray(toy_image(33, 30, 1)).save(folder / "street.png")
    Image.fromarray(toy_image(10, 10, 2)).save(tmp_path / "street.jpg")
    return folder


def test_writes_pictures_and_json(saved_model, images, tmp_path, capsys):
    output = tmp_path / "out"
    street = images.parent / "street.jpg"
    arguments = [f"--saved_model={saved_model}", str(images), str(street), f"--output_dir={output}"]
    assert cli.main(["predict", *arguments]) == 0
    names = {"000139", "street", "street_2"}
    assert {path.name for path in output.iterdir()} == {
        "panoptic.json",
        *(f"{name}_overlay.png" for name in names),
        *(f"{name}_panoptic.png" for name in names),
    }
    content = json.loads((output / "panoptic.json").read_text())
    assert [image["id"] for image in content["images"]] == [139, "street", "street_2"]
    assert [image["file_name"] for image in content["images"]] == [
        "000139.png",
        "street.png",
        "street.jpg",
    ]
    assert [each["file_name"] for each in content["annotations"]] == [
        "000139_panoptic.png",
        "street_panoptic.png",
        "street_2_panoptic.png",
    ]
    out = capsys.readouterr().out
    assert "[2/3]" in out
    assert "bright" in out
    assert f"3 of 3 images predicted; results are in {output}." in out


def test_unreadable_images_are_named_and_the_others_go_on(saved_model, images, tmp_path, capsys):
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing")
    output = tmp_path / "out"
    arguments = [f"--saved_model={saved_model}", str(images), f"--output_dir={output}"]
    assert cli.main(["predict", *arguments]) == 2
    captured = capsys.readouterr()
    assert "broken.jpg" in captured.err
    assert "2 of 3 images predicted" in captured.out
    assert len(list(output.glob("*_overlay.png"))) == 2
    assert len(json.loads((output / "panoptic.json").read_text())["images"]) == 2


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["image.png"], "`--config_file` and `--checkpoint`, or `--saved_model`"),
        (["image.png", "--config_file=a"], "--checkpoint missing"),
        (["image.png", "--saved_model=m", "--checkpoint=c"], "leave out --checkpoint"),
        (["none.png", "--saved_model=m"], "none.png does not exist"),
        (["image.png", "--saved_model=m"], "`saved_model` must be a folder"),
        (
            ["image.png", "--saved_model=m", "--pictures=overlay,sketch"],
            "`--pictures` must be some of overlay, outline, semantic, instance; received sketch",
        ),
        (["image.png", "--saved_model=m", "--tile=big"], "`--tile` must be a side"),
        (
            ["image.png", "a.mp4", "--saved_model=m", "--explain", "--tile=64"],
            "leave out --tile and --saved_model and videos",
        ),
    ],
)
def test_errors_are_one_sentence(flags, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("image.png")
    assert cli.main(["predict", *flags, "--output_dir=out"]) == 2
    errors = [e for e in capsys.readouterr().err.splitlines() if e.startswith("kmax: ")]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_images_is_refused_for_the_results(saved_model, images, capsys):
    code = cli.main(
        ["predict", f"--saved_model={saved_model}", str(images), f"--output_dir={images}"]
    )
    assert code == 2
    assert "`--output_dir`" in capsys.readouterr().err
    assert len(list(images.iterdir())) == 2


def test_an_interrupt_keeps_what_is_finished(saved_model, images, tmp_path, capsys, monkeypatch):
    describe = predict_command.describe_result

    def interrupted(result):
        monkeypatch.setattr(predict_command, "describe_result", describe)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_command, "describe_result", interrupted)
    output = tmp_path / "out"
    code = cli.main(
        ["predict", f"--saved_model={saved_model}", str(images), f"--output_dir={output}"]
    )
    assert code == 130
    assert "Interrupted after 1 of 2 images" in capsys.readouterr().out
    assert len(json.loads((output / "panoptic.json").read_text())["annotations"]) == 1


def test_pictures_batches_and_tiles(saved_model, images, tmp_path):
    output = tmp_path / "out"
    flags = ["--pictures=outline,instance", "--batch_size=2", "--tile=32,24", "--tile_overlap=8"]
    arguments = [f"--saved_model={saved_model}", str(images), f"--output_dir={output}", *flags]
    assert cli.main(["predict", *arguments]) == 0
    assert {path.name for path in output.iterdir()} == {
        "panoptic.json",
        *(
            f"{name}_{kind}.png"
            for name in ("000139", "street")
            for kind in ("outline", "instance", "panoptic")
        ),
    }


def test_ground_truth_is_shown_beside_the_prediction(saved_model, images, tmp_path, capsys):
    with CocoPanopticWriter(tmp_path / "val", INFO) as writer:
        writer.add(np.full((20, 40), 512), name="000139", image_id=139)
    output = tmp_path / "out"
    arguments = [f"--saved_model={saved_model}", str(images), f"--output_dir={output}"]
    assert cli.main(["predict", *arguments, f"--ground_truth={tmp_path}/val.json"]) == 0
    with Image.open(output / "000139_comparison.png") as picture:
        assert picture.width > 3 * 480
    assert not (output / "street_comparison.png").exists()
    assert "The ground truth has no image street." in capsys.readouterr().out


def test_explanations(images, tmp_path, capsys):
    prefix = tiny.write_checkpoint(tmp_path)
    output = tmp_path / "out"
    (images / "broken.jpg").write_bytes(b"no image")
    arguments = [f"--config_file={tiny.CONFIG}", f"--checkpoint={prefix}", str(images)]
    assert cli.main(["predict", *arguments, "--explain", f"--output_dir={output}"]) == 2
    captured = capsys.readouterr()
    assert "8 slots: " in captured.out
    assert "broken.jpg" in captured.err
    for name in ("000139", "street"):
        with Image.open(output / f"{name}_explain.png") as picture:
            assert picture.width > 1000

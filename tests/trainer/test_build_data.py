from __future__ import annotations

import argparse
import importlib
import os

import pytest

from kmax_tf.data import records
from kmax_tf.data.converters import shards
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters import toy_coco
from trainer import build_data, cli


def run(*arguments):
    parser = argparse.ArgumentParser()
    build_data.add_arguments(parser)
    return build_data.run(parser.parse_args(list(arguments)))


def test_shapes(tmp_path, capsys):
    assert run("shapes", f"--output_dir={tmp_path}", "--num_train=3", "--num_val=1") == 0
    assert records.count_records([str(tmp_path / "tfrecords" / "train-*")]) == 3
    printed = capsys.readouterr().out
    assert "train: 3 images in 1 files" in printed
    assert "segments:" in printed


def test_coco_format_from_a_folder(tmp_path, capsys):
    toy_coco.write(tmp_path, "train", 3)
    toy_coco.write(tmp_path, "val", 1)
    output = tmp_path / "toy_records"
    run("coco_format", f"--input_dir={tmp_path}", f"--output_dir={output}", "--num_shards=2")
    assert records.find_records([str(output / "train-*")]).counts == (2, 1)
    assert load_dataset_info(str(output / "dataset_info.json")).name == "toy_records"
    assert "crowd regions: 3 (cat 3)" in capsys.readouterr().out


def test_coco_format_one_split_and_explicit_places(tmp_path):
    toy_coco.write(tmp_path, "train")
    toy_coco.write(tmp_path, "val")
    output = tmp_path / "out"
    run("coco_format", f"--input_dir={tmp_path}", f"--output_dir={output}", "--split=val")
    assert not list(output.glob("train-*"))
    run(
        "coco_format",
        f"--panoptic_json={tmp_path / 'panoptic_train.json'}",
        f"--images_dir={tmp_path / 'images'}",
        f"--output_dir={output}",
        "--split=mine",
    )
    assert records.count_records([str(output / "mine-*")]) == 3


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["coco_format", "--output_dir=x"], "--input_dir"),
        (["coco_format", "--output_dir=x", "--panoptic_json=y.json"], "--images_dir"),
        (["coco_panoptic", "--output_dir=x", "--input_dir=nowhere"], "train2017"),
    ],
)
def test_one_clear_sentence(arguments, match):
    with pytest.raises(ValueError, match=match):
        run(*arguments)


def test_unknown_split_and_bad_numbers(tmp_path):
    toy_coco.write(tmp_path)
    with pytest.raises(ValueError, match=r"--split must be `all` or one of \['train'\]"):
        run("coco_format", f"--input_dir={tmp_path}", f"--output_dir={tmp_path}/o", "--split=no")
    with pytest.raises(SystemExit):
        run("coco_panoptic", "--input_dir=x", "--output_dir=y", "--num_shards=0")


def test_a_fault_in_another_process_is_one_sentence(tmp_path, capsys, monkeypatch):
    toy_coco.write(tmp_path)
    (tmp_path / "images" / "train_1.jpg").write_bytes(b"no image")
    monkeypatch.setattr(shards, "PARALLEL_FROM", 1)
    arguments = [f"--input_dir={tmp_path}", f"--output_dir={tmp_path}/out", "--num_shards=2"]
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert cli.main(["build-data", "coco_format", *arguments, "--strict"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("kmax: Image ")
    assert "train_1.jpg cannot be read" in error


def test_images_left_out_are_counted_and_named(tmp_path, capsys):
    toy_coco.write(tmp_path, count=9)
    for index in range(7):
        (tmp_path / "images" / f"train_{index}.jpg").write_bytes(b"no image")
    (tmp_path / "panoptic_train" / "train_8.png").unlink()
    assert run("coco_format", f"--input_dir={tmp_path}", f"--output_dir={tmp_path}/out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "train: 1 images in 1 files" in lines
    start = lines.index("  images left out: 8 (image cannot be read 7, panoptic PNG missing 1)")
    assert "train_0.jpg cannot be read" in lines[start + 1]
    assert len(lines[start:]) == 7
    assert lines[-1] == "    ... all of them: report/train.json"


@pytest.mark.parametrize("name", ["coco", "cityscapes", "ade20k"])
def test_official_layouts_pass_every_flag(monkeypatch, name):
    received = {}
    module = importlib.import_module(f"kmax_tf.data.converters.{name}")
    monkeypatch.setattr(
        module, f"convert_{name}_panoptic", lambda **given: received.update(given) or []
    )
    flags = ["--input_dir=i", "--output_dir=o", "--split=val", "--num_shards=3", "--strict"]
    assert run(f"{name}_panoptic", *flags) == 0
    assert received == {
        "input_dir": "i",
        "output_dir": "o",
        "split": "val",
        "num_shards": 3,
        "strict": True,
    }


def test_warnings_are_printed():
    report = {"split": "val", "images": 1, "shards": 1, "shards_kept": 0, "statistics": {}}
    report.update(skipped=[], warnings=["Too few."])
    assert build_data.format_report(report).splitlines()[-1] == "  warning: Too few."


def test_an_instances_json_is_one_sentence(tmp_path, capsys):
    toy_coco.write(tmp_path)
    annotation = {"id": 1, "image_id": 100, "category_id": 3, "bbox": [], "segmentation": []}
    toy_coco.edit(tmp_path, "train", annotations=[annotation])
    arguments = [f"--input_dir={tmp_path}", f"--output_dir={tmp_path}/out"]
    assert cli.main(["build-data", "coco_format", *arguments]) == 2
    assert "looks like an instances JSON" in capsys.readouterr().err


def test_a_split_must_not_leave_the_folder(tmp_path):
    toy_coco.write(tmp_path, "train")
    arguments = [
        f"--panoptic_json={tmp_path / 'panoptic_train.json'}",
        f"--images_dir={tmp_path / 'images'}",
        f"--output_dir={tmp_path / 'out'}",
    ]
    with pytest.raises(ValueError, match=r"--split.*'\.\./x'"):
        run("coco_format", *arguments, "--split=../x")

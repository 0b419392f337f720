"""The commands for users' own data; what they make is tested beside the converters."""

from __future__ import annotations

import pytest

from kmax_tf.data import records
from kmax_tf.data.dataset_info import load_dataset_info
from tests.data.converters import test_coco_instances as instances
from tests.data.converters import test_semantic_masks as masks
from tests.trainer.test_build_data import run


def test_semantic_masks(tmp_path, capsys):
    masks.write_pair(tmp_path, "a")
    (tmp_path / "classes.json").write_text('[{"id": 7, "name": "straße"}]', encoding="utf-8")
    arguments = [
        "semantic_masks",
        f"--images_dir={tmp_path}/images",
        f"--masks_dir={tmp_path}/masks",
        f"--classes={tmp_path}/classes.json",
    ]
    run(*arguments, f"--output_dir={tmp_path}/mine")
    assert records.count_records([str(tmp_path / "mine" / "train-*")]) == 1
    assert load_dataset_info(str(tmp_path / "mine" / "dataset_info.json")).name == "mine"
    assert "segments: 1 (straße 1)" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"--split.*'\.\./x'"):
        run(*arguments, f"--output_dir={tmp_path}/mine", "--split=../x")


def test_coco_instances_names_the_split_after_the_json(tmp_path, capsys):
    instances.write(tmp_path)
    run(
        "coco_instances",
        f"--images_dir={tmp_path}/images",
        f"--annotations={tmp_path}/instances_train.json",
        f"--output_dir={tmp_path}/mine",
        "--num_shards=2",
    )
    assert records.find_records([str(tmp_path / "mine" / "train-*")]).counts == (1, 1)
    assert "segments: 6 (größe 2, 猫 4)" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["semantic_masks", "coco_instances"])
def test_help_says_what_happens_to_pixels(dataset, capsys):
    with pytest.raises(SystemExit):
        run(dataset, "--help")
    printed = " ".join(capsys.readouterr().out.split())
    assert {"semantic_masks": "other values are void", "coco_instances": "lies on top"}[
        dataset
    ] in printed

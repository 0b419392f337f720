"""Every mistake of a user is one sentence that names what is wrong, and exit code 2."""

from __future__ import annotations

import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import schema
from trainer import cli
from trainer.distribution import require_divisible


def fails(finished, *patterns: str) -> None:
    """Checks exit code 2, exactly one sentence, no traceback, and what it says."""
    assert finished.code == 2, finished.out + finished.err
    assert "Traceback" not in finished.err
    assert len(finished.sentences) == 1, finished.err
    for pattern in patterns:
        assert re.search(pattern, finished.sentences[0]), finished.sentences[0]


def edited_config(folder: pathlib.Path, root: pathlib.Path, old: str, new: str) -> pathlib.Path:
    text = (root / "configs/test/tiny.textproto").read_text()
    path = folder / "edited.textproto"
    path.write_text(text.replace(old, new, 1))
    return path


def test_missing_config(kmax):
    fails(kmax("train", "--config_file=no/such.textproto", config=False), r"no/such\.textproto")


def test_unknown_field(kmax, tmp_path, repository_root):
    path = edited_config(tmp_path, repository_root, "batch_size:", "batch_sice:")
    fails(kmax("train", f"--config_file={path}", config=False), r":\d+: .*batch_sice.*batch_size")


def test_wrong_enum_value(kmax, tmp_path, repository_root):
    path = edited_config(tmp_path, repository_root, "optimizer: ADAMW", "optimizer: ADMW")
    fails(kmax("train", f"--config_file={path}", config=False), r"ADAM, ADAMW, SGD.*ADMW")


def test_crop_that_does_not_fit_the_stride(kmax, tmp_path):
    finished = kmax(
        "train", f"--model_dir={tmp_path}", "--set", "train_dataset_options.crop_size=64,65"
    )
    fails(finished, r"crop_size.*k \* 32 \+ 1.*64,65")


def test_batch_that_replicas_cannot_share():
    # Two replicas need two devices, so the check itself is called.
    with pytest.raises(ValueError, match=r"batch_size.*\(2\).*3"):
        require_divisible(3, 2, "train_dataset_options.batch_size")


def test_no_matching_files(kmax, tmp_path):
    finished = kmax("train", f"--model_dir={tmp_path}", "--set", f"KMAX_DATA={tmp_path}/nothing")
    fails(finished, r"nothing/shapes/tfrecords/train-\*.*kmax build-data shapes")


def test_coco_config_without_coco(tmp_path, capfd, monkeypatch, repository_root):
    monkeypatch.setenv("KMAX_DATA", str(tmp_path))
    config = repository_root / "configs/coco/kmax_r50.textproto"
    code = cli.main(["train", f"--config_file={config}", f"--model_dir={tmp_path}/run"])
    sentence = capfd.readouterr().err
    assert code == 2
    assert re.search(r"coco/tfrecords/train-\*.*kmax build-data coco_panoptic", sentence), sentence


def write_record(path: pathlib.Path, *, image: bytes, panoptic) -> None:
    example = schema.encode_record(
        image=image,
        file_name="broken_one",
        image_format="jpeg",
        height=65,
        width=65,
        panoptic=panoptic,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example)


def test_record_that_is_not_an_image(kmax, tmp_path):
    path = tmp_path / "shapes/tfrecords/train-00000-of-00001.tfrecord"
    write_record(path, image=b"not an image", panoptic=np.zeros([65, 65], np.int32))
    finished = kmax(
        "train", "--mode=train", f"--model_dir={tmp_path}/run", "--set", f"KMAX_DATA={tmp_path}"
    )
    fails(finished, r"train-00000-of-00001\.tfrecord", "broken_one", "Record 0")


def test_label_outside_the_classes(kmax, tmp_path):
    image = tf.io.encode_jpeg(tf.zeros([65, 65, 3], tf.uint8)).numpy()
    path = tmp_path / "shapes/tfrecords/train-00000-of-00001.tfrecord"
    write_record(path, image=image, panoptic=np.full([65, 65], 77 * 256, np.int32))
    finished = kmax(
        "train", "--mode=train", f"--model_dir={tmp_path}/run", "--set", f"KMAX_DATA={tmp_path}"
    )
    fails(finished, r"train-00000-of-00001\.tfrecord", "broken_one", "Record 0", "77")


def test_unwritable_model_dir(kmax, tmp_path):
    (tmp_path / "file").write_text("in the way")
    fails(kmax("train", f"--model_dir={tmp_path}/file/run"), r"model_dir.*file/run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_model_dir(kmax, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    fails(kmax("train", f"--model_dir={tmp_path}/locked/run"), r"model_dir.*locked")


def test_checkpoint_of_another_model(kmax, tmp_path):
    prefix = tf.train.Checkpoint(other=tf.Variable([1.0])).write(str(tmp_path / "other"))
    finished = kmax("eval", f"--checkpoint={prefix}")
    fails(finished, r"other")
    fails(kmax("eval", f"--checkpoint={tmp_path}/nothing"), r"nothing")


def test_images_that_cannot_be_predicted(kmax, tmp_path):
    fails(
        kmax("predict", f"--checkpoint={tmp_path}", "no.jpg", f"--output_dir={tmp_path}"),
        r"no\.jpg",
    )


def test_flags_are_named(kmax, capfd):
    with pytest.raises(SystemExit) as stopped:
        kmax("train", "--no_such_flag")
    assert stopped.value.code == 2
    assert "--no_such_flag" in capfd.readouterr().err

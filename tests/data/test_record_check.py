from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import record_check, records
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.task import Task, apply_task
from tests.data import toy_records
from tests.image_bombs import HUGE, LARGE, encode, png_bomb

INFO = load_dataset_info("shapes")


def bad_records():
    unknown = toy_records.shapes_label(20, 24, 0)
    unknown[3, 3] = 77 * 256
    features = tf.train.Example.FromString(toy_records.record(6))
    features.features.feature["image/segmentation/class/encoded"].bytes_list.value[0] = b"1234"
    unlabelled = tf.train.Example.FromString(toy_records.record(6))
    del unlabelled.features.feature["image/segmentation/class/encoded"]
    small = toy_records.png(np.zeros((5, 5, 3), np.uint8))
    return {
        "states 20x24": toy_records.record(6, image=small),
        r"classes \[77\]": toy_records.record(6, label=unknown),
        "4 bytes of labels": features.SerializeToString(),
        "no image that can be decoded": toy_records.record(6, image=b"not an image"),
        r"lacks the keys \['image/segmentation/class/encoded'\]": unlabelled.SerializeToString(),
    }


@pytest.mark.parametrize("problem", sorted(bad_records()))
def test_names_the_bad_record(tmp_path, problem):
    pattern = toy_records.write_files(tmp_path, [2, 1])
    with tf.io.TFRecordWriter(str(tmp_path / "train-00002")) as writer:
        writer.write(toy_records.record(5))
        writer.write(bad_records()[problem])
    expected = rf"Record 1 of .*train-00002 \(image 'image_6'\).*{problem}"
    with pytest.raises(ValueError, match=expected):
        record_check.check_records([pattern], INFO, decode_label=True)
    assert record_check.check_records([pattern], INFO, decode_label=True, limit=3) == 3
    source = records.find_records([pattern])
    stream = records.ordered_records(source).as_numpy_iterator()
    with pytest.raises(ValueError, match=expected):
        record_check.find_bad_record(source, stream, INFO, decode_label=True)


@pytest.mark.parametrize("task", list(Task))
def test_classes_that_a_task_leaves_out_are_known(tmp_path, task):
    info = apply_task(INFO, task)
    pattern = toy_records.write_files(tmp_path, [2])
    assert record_check.check_records([pattern], info, decode_label=True) == 2
    with tf.io.TFRecordWriter(str(tmp_path / "train-00001")) as writer:
        writer.write(bad_records()[r"classes \[77\]"])
    with pytest.raises(ValueError, match=r"classes \[77\]"):
        record_check.check_records([pattern], info, decode_label=True)


def test_good_records(tmp_path):
    pattern = toy_records.write_files(tmp_path, [2, 3])
    assert record_check.check_records([pattern], INFO, decode_label=True) == 5
    assert record_check.check_records([pattern], INFO, decode_label=False, limit=2) == 2


def test_not_an_example(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        writer.write(b"\xff\xff")
    with pytest.raises(ValueError, match=r"Record 0 of .* is not a serialised example"):
        record_check.check_records([str(tmp_path / "train-0")], INFO, decode_label=True)


def test_damaged_file(tmp_path):
    pattern = toy_records.write_files(tmp_path, [2])
    path = tmp_path / "train-00000"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in the second record, whose checksum then is wrong
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="train-00000 is damaged at or after record 1"):
        record_check.check_records([pattern], INFO, decode_label=True)


@pytest.mark.parametrize("size", [HUGE, LARGE])
def test_bombs_are_described_and_not_decoded(size):
    record = toy_records.record(6, image=png_bomb(*size))
    name, problem = record_check.describe_problem(record, INFO, decode_label=True)
    assert name == "image_6"
    assert problem.startswith("has no image that can be decoded: it has ")
    _, problem = record_check.describe_problem(
        toy_records.record(6, image=encode(20, 24, "GIF")), INFO, decode_label=True
    )
    assert problem.endswith("it is no image of a known kind (JPEG, PNG)")

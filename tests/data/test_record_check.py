from __future__ import annotations

import re

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


def find(source, info=INFO, image_ids=None, decode_label=True):
    ids = range(source.total) if image_ids is None else image_ids
    return list(record_check.find_bad_records(source, ids, info, decode_label=decode_label))


@pytest.mark.parametrize("problem", sorted(bad_records()))
def test_names_the_bad_record(tmp_path, problem):
    pattern = toy_records.write_files(tmp_path, [2, 1])
    with tf.io.TFRecordWriter(str(tmp_path / "train-00002")) as writer:
        writer.write(toy_records.record(5))
        writer.write(bad_records()[problem])
    source = records.find_records([pattern])
    (bad,) = find(source)
    assert bad[:4] == (4, str(tmp_path / "train-00002"), 1, "image_6")
    assert re.search(rf"Record 1 of .*train-00002 \(image 'image_6'\) .*{problem}", str(bad))
    assert find(source, image_ids=[3, 0]) == []
    assert find(source, image_ids=[4, 0, 4]) == [bad, bad]


@pytest.mark.parametrize("task", list(Task))
def test_classes_that_a_task_leaves_out_are_known(tmp_path, task):
    info = apply_task(INFO, task)
    pattern = toy_records.write_files(tmp_path, [2])
    assert find(records.find_records([pattern]), info) == []
    with tf.io.TFRecordWriter(str(tmp_path / "train-00001")) as writer:
        writer.write(bad_records()[r"classes \[77\]"])
    (bad,) = find(records.find_records([pattern]), info)
    assert "classes [77]" in bad.problem


def test_good_records(tmp_path):
    source = records.find_records([toy_records.write_files(tmp_path, [2, 3])])
    assert find(source) == find(source, decode_label=False) == []


def test_labels_are_needed_only_where_they_are_read(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        for content in bad_records().values():
            writer.write(content)
    source = records.find_records([str(tmp_path / "train-0")])
    assert [bad.image_id for bad in find(source)] == [0, 1, 2, 3, 4]
    assert [bad.image_id for bad in find(source, decode_label=False)] == [0, 3]


def test_not_an_example(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        writer.write(b"\xff\xff")
    (bad,) = find(records.find_records([str(tmp_path / "train-0")]))
    assert re.match(r"Record 0 of .*train-0 is not a serialised example", str(bad))


def test_wrong_checksum(tmp_path):
    pattern = toy_records.write_files(tmp_path, [3])
    path = tmp_path / "train-00000"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    (bad,) = find(records.find_records([pattern]))
    assert re.match(r"Record 1 of .*train-00000 fails its checksum: corrupted", str(bad))


def test_damaged_files(tmp_path):
    pattern = toy_records.write_files(tmp_path, [2, 2])
    path = tmp_path / "train-00001"
    path.write_bytes(path.read_bytes()[:-1])
    source = records.find_records([pattern], damage_allowed=True)
    (bad,) = record_check.find_damaged_files(source)
    assert bad[:4] == (None, str(path), 1, "")
    expected = r"Record 1 of .*train-00001 cannot be read, .*cut off.*; the rest of the file is"
    assert re.match(expected, str(bad))
    assert find(source) == []


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


def test_what_only_tensorflow_refuses_is_described():
    """A field that examples do not have, inside an entry that nothing reads."""
    content = toy_records.record(6)
    key = b"\x0a\x0eimage/channels"
    start = content.index(key)
    changed = content[:start] + b"\x32" + content[start + 1 :]
    assert tf.train.Example.FromString(changed)
    name, problem = record_check.describe_problem(changed, INFO, decode_label=True)
    assert name == "image_6"
    assert problem.startswith("cannot be parsed: ")
    example = tf.train.Example.FromString(content)
    example.features.feature["image/height"].bytes_list.value.append(b"5")
    _, problem = record_check.describe_problem(example.SerializeToString(), INFO, decode_label=True)
    assert "image/height" in problem
    assert "type" in problem

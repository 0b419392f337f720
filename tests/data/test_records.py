from __future__ import annotations

import itertools

import pytest
import tensorflow as tf

from kmax_tf.data import records, schema
from tests.data import toy_records


def ids_of(dataset, count):
    return [int(image_id) for image_id, _ in itertools.islice(dataset.as_numpy_iterator(), count)]


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FILES_AT_ONCE", 2)
    monkeypatch.setattr(records, "SHUFFLE_RECORDS", 4)
    return records.find_records([toy_records.write_files(tmp_path, [3, 1, 0, 4, 2])])


def test_listing(tmp_path):
    pattern = toy_records.write_files(tmp_path, [1, 1])
    assert records.list_files([pattern, pattern]) == [
        str(tmp_path / "train-00000"),
        str(tmp_path / "train-00001"),
    ]
    with pytest.raises(ValueError, match=r"val-\*.*matches no file; looked for /"):
        records.list_files([pattern, "val-*"])
    with pytest.raises(ValueError, match="file_pattern"):
        records.list_files([])


def test_counting(source, tmp_path):
    assert source.counts == (3, 1, 0, 4, 2)
    assert source.total == records.count_records([str(tmp_path / "train-*")]) == 10
    assert source.locate(0) == (str(tmp_path / "train-00000"), 0)
    assert source.locate(4) == (str(tmp_path / "train-00003"), 0)
    assert source.locate(9) == (str(tmp_path / "train-00004"), 1)


def test_file_that_is_cut_off_or_no_record_file(tmp_path):
    pattern = toy_records.write_files(tmp_path, [2])
    path = tmp_path / "train-00000"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"train-00000 is cut off.*record 1"):
        records.find_records([pattern])
    path.write_bytes(b"this is no record file at all")
    with pytest.raises(ValueError, match="not an uncompressed TFRecord"):
        records.find_records([pattern])
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="all empty"):
        records.find_records([pattern])


def test_file_names(source, tmp_path):
    names = records.read_file_names([str(tmp_path / "train-*")])
    assert names == {index: f"image_{index}" for index in range(10)}


def test_ordered(source):
    assert ids_of(records.ordered_records(source), 99) == list(range(10))


def test_shuffled_sees_every_record_once_per_epoch(source):
    ids = ids_of(records.shuffled_records(source, seed=3, start=0), 30)
    epochs = [ids[:10], ids[10:20], ids[20:]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert ids == ids_of(records.shuffled_records(source, seed=3, start=0), 30)
    assert ids != ids_of(records.shuffled_records(source, seed=4, start=0), 30)


def test_shuffled_ids_belong_to_their_records(source):
    stream = records.shuffled_records(source, seed=3, start=0)
    for image_id, serialized in itertools.islice(stream, 10):
        record = schema.parse_record(serialized, decode_label=False)
        assert record.file_name.numpy().decode() == f"image_{image_id}"


@pytest.mark.parametrize("start", [1, 4, 9, 10, 17, 25])
def test_shuffled_can_start_anywhere(source, start):
    ids = ids_of(records.shuffled_records(source, seed=3, start=0), start + 12)
    assert ids_of(records.shuffled_records(source, seed=3, start=start), 12) == ids[start:]


@pytest.mark.parametrize("global_seed", [0, 7])
def test_order_does_not_depend_on_the_global_seed(source, global_seed):
    before = ids_of(records.shuffled_records(source, seed=3, start=0), 10)
    tf.random.set_seed(global_seed)
    try:
        assert ids_of(records.shuffled_records(source, seed=3, start=0), 10) == before
    finally:
        tf.keras.utils.set_random_seed(1)


def test_other_file_systems_are_counted_by_their_headers(tmp_path, monkeypatch):
    folder = "ram://counting"
    tf.io.gfile.makedirs(folder)
    for index, count in enumerate([3, 0, 2]):
        with tf.io.TFRecordWriter(f"{folder}/train-{index}") as writer:
            for number in range(count):
                writer.write(bytes(1000 * number))
    read = []
    gfile = tf.io.gfile.GFile

    class CountingFile(gfile):
        def read(self, n=-1):
            read.append(n)
            return super().read(n)

    monkeypatch.setattr(tf.io.gfile, "GFile", CountingFile)
    for _ in range(2):  # the second time nothing is read
        assert records.find_records([f"{folder}/train-*"]).counts == (3, 0, 2)
        assert read == [12] * 5
    with gfile(f"{folder}/train-0", "wb") as file:
        file.write(b"this is no record file at all")
    with pytest.raises(ValueError, match="not an uncompressed TFRecord"):
        records.find_records([f"{folder}/train-*"])

from __future__ import annotations

import itertools

import pytest
import tensorflow as tf

from kmax_tf.data import records, schema
from tests.data import toy_records


def ids_of(dataset, count):
    return [int(image_id) for image_id, _ in itertools.islice(dataset.as_numpy_iterator(), count)]


def shuffled(source, *, seed=3, start=0, excluded=None):
    dataset = records.shuffled_records(source, seeds=[seed], start=start, excluded=excluded or {})
    return dataset.map(lambda position, elements: elements[0])


@pytest.fixture
def source(tmp_path):
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


def test_damaged_files(tmp_path):
    pattern = toy_records.write_files(tmp_path, [2, 2])
    path = tmp_path / "train-00000"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"Record 1 of .*train-00000 cannot be read, .* cut off"):
        records.find_records([pattern])
    source = records.find_records([pattern], damage_allowed=True)
    assert source.counts == (1, 2)
    ((file, record, problem),) = source.damages()
    assert (file, record) == (str(path), 1)
    assert "cut off" in problem
    names = records.read_file_names(source)
    assert names == {0: "image_0", 1: "image_2", 2: "image_3"}
    path.write_bytes(b"this is no record file at all")
    with pytest.raises(ValueError, match=r"Record 0 of .*not an uncompressed TFRecord"):
        records.find_records([pattern])
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="all empty"):
        records.find_records([pattern])


def test_file_names(source):
    assert records.read_file_names(source) == {index: f"image_{index}" for index in range(10)}
    left = records.read_file_names(source, excluded=[0, 9])
    assert sorted(left) == list(range(1, 9))


def test_one_record(source):
    for image_id in (0, 3, 9):
        assert records.read_record(source, image_id) == toy_records.record(image_id)


def test_only_the_record_with_the_wrong_checksum_cannot_be_read(source, tmp_path):
    path = tmp_path / "train-00000"
    content = bytearray(path.read_bytes())
    content[int(source.indexes[0].offsets[1]) + 40] ^= 1
    path.write_bytes(bytes(content))
    assert records.read_record(source, 0) == toy_records.record(0)
    assert records.read_record(source, 2) == toy_records.record(2)
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        records.read_record(source, 1)
    found = records.ordered_records(source, start=0, excluded=[1])
    assert ids_of(found, 99) == [0, *range(2, 10)]
    with pytest.raises(tf.errors.DataLossError):
        ids_of(records.ordered_records(source, start=0, excluded=()), 99)


def test_file_that_has_become_shorter(source, tmp_path):
    path = tmp_path / "train-00000"
    path.write_bytes(path.read_bytes()[: int(source.indexes[0].offsets[1])])
    assert records.read_record(source, 1) == b""
    # No record takes the place of another.
    assert ids_of(records.ordered_records(source, start=0, excluded=()), 99) == list(range(10))


def test_ordered(source):
    def ids(start, excluded=()):
        return ids_of(records.ordered_records(source, start=start, excluded=excluded), 99)

    assert ids(0) == list(range(10))
    assert ids(8) == [8, 9]
    assert ids(12) == []
    assert ids(0, [3, 9]) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert ids(4, [3, 9]) == [5, 6, 7, 8]


def test_shuffled_sees_every_record_once_per_epoch(source):
    ids = ids_of(shuffled(source), 30)
    epochs = [ids[:10], ids[10:20], ids[20:]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert ids == ids_of(shuffled(source), 30)
    assert ids != ids_of(shuffled(source, seed=4), 30)


def test_shuffled_ids_belong_to_their_records(source):
    for image_id, serialized in itertools.islice(shuffled(source), 10):
        record = schema.parse_record(serialized, decode_label=False)
        assert record.file_name.numpy().decode() == f"image_{image_id}"


def test_several_orders_and_their_position(source):
    dataset = records.shuffled_records(source, seeds=[3, 8], start=7, excluded={})
    found = list(itertools.islice(dataset.as_numpy_iterator(), 12))
    assert [int(position) for position, _ in found] == list(range(7, 19))
    for index, seed in enumerate([3, 8]):
        ids = [int(elements[index][0]) for _, elements in found]
        assert ids == ids_of(shuffled(source, seed=seed, start=7), 12)


@pytest.mark.parametrize("start", [1, 9, 10, 25])
def test_shuffled_can_start_anywhere(source, start):
    ids = ids_of(shuffled(source), start + 12)
    assert ids_of(shuffled(source, start=start), 12) == ids[start:]


def test_shuffled_leaves_records_out_from_a_position_on(source):
    plain, ids = ids_of(shuffled(source), 20), ids_of(shuffled(source, excluded={6: 10}), 20)
    assert ids[:10] == plain[:10]
    assert 6 not in ids[10:]
    assert [i for i, expected in zip(ids, plain) if i != expected] == [
        plain[plain.index(6, 10) + 1]
    ]


def test_ids_without_reading(source):
    excluded = {6: 10}
    images = ids_of(shuffled(source, excluded=excluded), 14)[8:]
    partners = ids_of(shuffled(source, excluded=excluded, seed=5), 14)[8:]
    found = records.ids_at(range(8, 14), source, seeds=[3, 5], excluded=excluded)
    assert sorted(found) == sorted({*images, *partners})
    assert found[0] == images[0]


@pytest.mark.parametrize("global_seed", [0, 7])
def test_order_does_not_depend_on_the_global_seed(source, global_seed):
    before = ids_of(shuffled(source), 10)
    tf.random.set_seed(global_seed)
    try:
        assert ids_of(shuffled(source), 10) == before
    finally:
        tf.keras.utils.set_random_seed(1)


def test_other_file_systems(tmp_path):
    tf.io.gfile.makedirs("ram://reading")
    for index, count in enumerate([3, 0, 2]):
        with tf.io.TFRecordWriter(f"ram://reading/train-{index}") as writer:
            for number in range(count):
                writer.write(bytes([number]) * 1000 * index)
    source = records.find_records(["ram://reading/train-*"])
    assert source.counts == (3, 0, 2)
    assert records.read_record(source, 4) == bytes([1]) * 2000

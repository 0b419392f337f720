"""Records of the config where they are, drawn ones otherwise; the median of blocks."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from tests import tiny
from tests.data import toy_records
from trainer.bench import input_pipeline


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(input_pipeline, "_WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(input_pipeline, "_BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(input_pipeline, "_NUM_RECORDS", 8)


def _options(folder):
    return load_config(tiny.CONFIG, [f"KMAX_DATA={folder}"]).train_dataset_options


def test_records_of_the_config(short, data_folder):
    options = _options(data_folder)
    figures = input_pipeline.measure_input(options, batch_size=2, repeats=2)
    assert not figures.synthetic
    assert figures.images_per_second > 0


@pytest.mark.parametrize("position", [0, 5])
def test_a_bad_record_is_named(short, tmp_path, position):
    folder = tmp_path / "shapes" / "tfrecords"
    folder.mkdir(parents=True)
    records = [toy_records.record(number) for number in range(6)]
    records[position] = toy_records.record(position, image=b"no image")
    with tf.io.TFRecordWriter(str(folder / "train-00000")) as writer:
        for record in records:
            writer.write(record)
    with pytest.raises(ValueError, match=rf"^Record {position} of .*train-00000 \(image 'image_"):
        input_pipeline.measure_input(_options(tmp_path), batch_size=2, repeats=3)


def test_drawn_records(short, tmp_path):
    options = _options(tmp_path)
    pattern = list(options.file_pattern)
    figures = input_pipeline.measure_input(options, batch_size=2, repeats=1)
    assert figures.synthetic
    assert figures.images_per_second > 0
    assert list(options.file_pattern) == pattern
    assert not input_pipeline.are_there([])


def test_median_over_blocks(monkeypatch, data_folder):
    asked = []
    rates = iter([1000.0, 3.0, 1.0, 5.0])
    monkeypatch.setattr(
        input_pipeline, "_read_for", lambda iterator, seconds: asked.append(seconds) or next(rates)
    )
    figures = input_pipeline.measure_input(_options(data_folder), batch_size=4, repeats=3)
    assert figures.images_per_second == 12.0
    assert asked == [3.0, 1.5, 1.5, 1.5]


def test_a_block_reads_until_its_time_has_passed(monkeypatch):
    times = iter([0.0, 0.4, 0.8, 1.6])
    monkeypatch.setattr(input_pipeline.time, "perf_counter", lambda: next(times))
    assert input_pipeline._read_for(iter(range(9)), 1.5) == pytest.approx(3 / 1.6)

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.data import build_dataset
from kmax_tf.data import schema
from protos import experiment_pb2
from trainer.data_errors import EVAL, TRAIN, explaining_bad_records, name_images


def _example(name, content):
    integers = {schema.HEIGHT: 2, schema.WIDTH: 2}
    feature = {
        key: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        for key, value in integers.items()
    }
    strings = {
        schema.IMAGE: content,
        schema.FILE_NAME: name.encode(),
        schema.LABEL: np.zeros([2, 2], np.int32).tobytes(),
    }
    for key, value in strings.items():
        feature[key] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture
def files(tmp_path):
    """Two files of two records; the last record of the second one holds no image."""
    image = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()
    for index, contents in enumerate([[image, image], [image, b"no image"]]):
        with tf.io.TFRecordWriter(str(tmp_path / f"train-{index}")) as writer:
            for number, content in enumerate(contents):
                writer.write(_example(f"street_{index}{number}", content))
    return str(tmp_path / "train-*")


@pytest.fixture
def config(files):
    config = experiment_pb2.ExperimentOptions()
    for options in (config.train_dataset_options, config.eval_dataset_options):
        options.dataset_info = "shapes"
        options.file_pattern.append(files)
        options.crop_size.extend([33, 33])
        options.batch_size = 2
    return config


def test_images_are_named_by_their_records(config):
    named = name_images([0, 3], config.train_dataset_options)
    assert named.startswith("0 = street_00 (")
    assert "3 = street_11 (" in named
    assert named.endswith("train-1, record 1)")


@pytest.mark.parametrize("part", [TRAIN, EVAL])
def test_a_record_without_an_image_is_named(config, part):
    options = getattr(config, part)
    dataset = build_dataset(options, training=part == TRAIN, seed=0)
    pattern = r"Record 1 of .*train-1.*street_11"
    with pytest.raises(ValueError, match=pattern) as error, explaining_bad_records(config, [part]):
        list(dataset.take(2))
    assert "\n" not in str(error.value)


def test_other_errors_stay_what_they_are(config):
    with pytest.raises(tf.errors.InvalidArgumentError), explaining_bad_records(config, []):
        tf.reshape([1, 2], [3])


@pytest.mark.parametrize("part", [TRAIN, EVAL])
@pytest.mark.parametrize("unusual", [False, True])
def test_a_record_of_bytes_that_are_no_text_is_named(config, tmp_path, part, unusual):
    content = b"\x80\xff" * 10
    if unusual:  # TensorFlow's message holds the whole record, and is no text then.
        content = _example("street", b"\x80\xff").replace(
            b"\x0a\x0cimage/height", b"\x32\x0cimage/height"
        )
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        writer.write(content)
    options = getattr(config, part)
    dataset = build_dataset(options, training=part == TRAIN, batch_size=1)
    message = r"Record 0 of .*train-0.* (is not a serialised example|lacks the keys)"
    with pytest.raises(ValueError, match=message), explaining_bad_records(config, [part]):
        list(dataset.take(4))

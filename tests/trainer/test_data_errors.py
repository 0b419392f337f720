from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data import schema
from trainer.data_errors import explain, explaining_bad_records, name_images


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


def test_images_are_named_by_their_records(files):
    named = name_images([0, 3], [files])
    assert named.startswith("0 = street_00 (")
    assert "3 = street_11 (" in named
    assert named.endswith("train-1, record 1)")


def test_a_record_without_an_image_is_found(files):
    dataset = tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(files))).map(
        lambda r: schema.decode_image(schema.parse_record(r, decode_label=False))
    )
    pattern = r"street_11 \(.*train-1, record 1\)"
    with pytest.raises(ValueError, match=pattern) as error, explaining_bad_records([files]):
        list(dataset)
    assert "\n" not in str(error.value)


def test_an_assertion_about_a_record_becomes_a_sentence(files):
    @tf.function
    def check(size):
        tf.debugging.Assert(
            size[0] == 3, ["Bad record", tf.constant("street_00"), "has size", size]
        )

    pattern = r"^Bad record street_00 has size 2 2\.$"
    with pytest.raises(ValueError, match=pattern), explaining_bad_records([files]):
        check(tf.constant([2, 2]))


def test_other_errors_stay_what_they_are(files):
    assert explain("Incompatible shapes: [2] vs. [3]") is None
    assert explain("corrupted record at 12").startswith("A record file is damaged")
    with pytest.raises(tf.errors.InvalidArgumentError), explaining_bad_records([files]):
        tf.reshape([1, 2], [3])

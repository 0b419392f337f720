"""Every fault that a record can have, as functions that damage a file."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kmax_tf.data import schema


def break_image(example):
    example.features.feature[schema.IMAGE].bytes_list.value[0] = b"no image"


def break_labels(example):
    value = example.features.feature[schema.LABEL].bytes_list.value
    labels = np.frombuffer(value[0], np.int32).copy()
    labels[:] = 77 * 256
    value[0] = labels.tobytes()


def break_size(example):
    example.features.feature[schema.HEIGHT].int64_list.value[0] += 1


def change_record(change):
    """Writes the file again with a change of its second record."""

    def damage(path):
        contents = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
        example = tf.train.Example.FromString(contents[1])
        change(example)
        contents[1] = example.SerializeToString()
        with tf.io.TFRecordWriter(str(path)) as writer:
            for content in contents:
                writer.write(content)

    return damage


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    lengths = [len(record.numpy()) + 16 for record in tf.data.TFRecordDataset(str(path))]
    content = bytearray(path.read_bytes())
    content[lengths[0] + 200] ^= 1
    path.write_bytes(bytes(content))


# Name -> (function of a path, regular expression of what is said).
FAULTS = {
    "image that cannot be decoded": (change_record(break_image), "has no image that can be dec"),
    "label outside the classes": (change_record(break_labels), r"classes \[77\]"),
    "size that is not the stated one": (change_record(break_size), "but states"),
    "file that is cut off": (cut_off, "the file is cut off"),
    "wrong checksum": (flip_a_bit, "fails its checksum"),
}

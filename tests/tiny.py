"""The smallest experiment that runs every part: config, records and a checkpoint."""

from __future__ import annotations

import pathlib
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.data.schema import encode_record

CONFIG = str(pathlib.Path(__file__).resolve().parent.parent / "configs/test/tiny.textproto")

# An untrained model is sure of nothing: without thresholds it finds segments all the same.
WITHOUT_THRESHOLDS = (
    "evaluator_options.post_processing.mask_wise.transformer_class_confidence_threshold_thing=0",
    "evaluator_options.post_processing.mask_wise.transformer_class_confidence_threshold_stuff=0",
    "evaluator_options.post_processing.mask_wise.overlapping_threshold=0",
    "evaluator_options.post_processing.pixel_confidence_threshold=0.125",
    "evaluator_options.post_processing.thing_area_limit=0",
    "evaluator_options.post_processing.stuff_area_limit=0",
)


class Records(NamedTuple):
    """What `write_records` wrote: images uint8 [H, W, 3], maps int32 [H, W], file names."""

    images: List[np.ndarray]
    truths: List[np.ndarray]
    names: List[str]


def write_records(folder: pathlib.Path, sizes: Sequence[Tuple[int, int]]) -> Records:
    """Writes `<folder>/shapes/tfrecords/val-00000-of-00001.tfrecord`, one image per size.

    Each image is sky (class 7) with a circle (1) and a star (4), both only in name, and a void row.
    """
    target = folder / "shapes" / "tfrecords" / "val-00000-of-00001.tfrecord"
    target.parent.mkdir(parents=True, exist_ok=True)
    records = Records([], [], [])
    random = np.random.RandomState(0)
    with tf.io.TFRecordWriter(str(target)) as writer:
        for index, (height, width) in enumerate(sizes):
            image = random.randint(0, 255, (height, width, 3)).astype(np.uint8)
            truth = np.full((height, width), 7 * 256, np.int32)
            truth[: height // 2, : width // 2] = 1 * 256 + 1
            truth[height // 2 :, width // 2 :] = 4 * 256 + 1
            truth[0] = 0
            name = f"{index:06d}" if index else "first image"
            writer.write(
                encode_record(
                    tf.io.encode_png(image).numpy(),
                    file_name=name,
                    image_format="png",
                    height=height,
                    width=width,
                    panoptic=truth,
                )
            )
            records.images.append(image)
            records.truths.append(truth)
            records.names.append(name)
    return records


def write_checkpoint(folder: pathlib.Path) -> str:
    """Saves an untrained model; returns the prefix."""
    tf.keras.utils.set_random_seed(3)
    model = build_model(load_config(CONFIG))
    for index, variable in enumerate(model.trainable_variables):
        # Large random weights: the masks of an ordinary untrained model are all alike.
        variable.assign_add(0.5 * tf.random.stateless_normal(variable.shape, [index, 2]))
    return tf.train.Checkpoint(model=model).write(str(folder / "ckpt-1"))

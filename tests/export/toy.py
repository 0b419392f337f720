"""A network without layers and its preprocessing, to test what is built around a model."""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.export.outputs import served_network
from kmax_tf.structures import DatasetInfo, PanopticPrediction

SIZE = (33, 65)
INFO = DatasetInfo(
    name="toy",
    num_classes=4,
    ignore_label=0,
    label_divisor=256,
    class_ids=(1, 2, 3),
    names=("dark", "middle", "bright"),
    colors=((30, 30, 30), (120, 120, 120), (240, 240, 240)),
    is_thing=(False, False, True),
    original_ids=(10, 20, 30),
)


class ToyNetwork:
    """Class 1, 2, 3 for dark, middle, bright pixels; the bright ones are instance 1."""

    def __init__(self) -> None:
        self.thresholds = tf.Variable([85.0, 170.0], trainable=False)
        self.unused = tf.Variable(1.0)

    def __call__(self, images: tf.Tensor) -> PanopticPrediction:
        gray = tf.reduce_mean(images, axis=3)
        semantic = 1 + tf.reduce_sum(tf.cast(gray[..., None] > self.thresholds, tf.int32), axis=3)
        panoptic = semantic * 256 + tf.cast(semantic == 3, tf.int32)
        ids = tf.constant([256, 512, 769])
        present = tf.reduce_any(panoptic[:, None] == ids[:, None, None], axis=[2, 3])
        score = tf.cast(semantic, tf.float32) / 4
        return PanopticPrediction(
            panoptic=panoptic,
            semantic=semantic,
            mask_id=semantic,
            instance_score=score,
            semantic_score=score,
            segment_class=tf.where(present, tf.constant([1, 2, 3]), -1),
            segment_id=tf.where(present, ids, -1),
            segment_score=tf.where(present, tf.constant([0.5, 0.6, 0.7]), 0.0),
        )


def served(network: Callable) -> Callable:
    """The network as it is served by default."""
    return served_network(Inference(network, prepare, SIZE, INFO))


def prepare(image: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """uint8 [H, W, 3] -> float32 [33, 65, 3], cut at the right and below; and its size."""
    image = tf.cast(image[: SIZE[0], : SIZE[1]], tf.float32)
    size = tf.shape(image)[:2]
    missing = tf.constant(SIZE) - size
    padded = tf.pad(image, [[0, missing[0]], [0, missing[1]], [0, 0]], constant_values=127.5)
    return tf.ensure_shape(padded, [*SIZE, 3]), size


def toy_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3]: flat blocks, so that no pixel lies on a threshold."""
    random = np.random.RandomState(seed)
    blocks = random.choice([40, 128, 220], (height // 8 + 1, width // 8 + 1)).astype(np.uint8)
    gray = np.kron(blocks, np.ones((8, 8), np.uint8))[:height, :width]
    return np.repeat(gray[:, :, None], 3, axis=2)

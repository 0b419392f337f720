"""A model, loss and data of a few numbers, with the interfaces of the real ones."""

from __future__ import annotations

import tensorflow as tf

from kmax_tf.layers.norm import BatchNorm, NormSettings
from kmax_tf.structures import PanopticPrediction
from trainer import schedules
from trainer.optimizers import AdamW
from trainer.parameter_groups import collect_parameters


class ToyModel(tf.keras.Model):
    """One dense layer per part on the mean colour: float32 [B, H, W, 3] -> [B, 2]."""

    def __init__(self, num_outputs: int = 2) -> None:
        super().__init__()
        self.pixel_encoder = tf.keras.layers.Dense(4, name="pixel_encoder")
        self.head = tf.keras.layers.Dense(num_outputs, name="head")
        self.norm = tf.keras.layers.BatchNormalization(name="norm")
        self(tf.zeros([1, 2, 2, 3]))

    def call(self, images, training=False):
        mean = tf.reduce_mean(images, [1, 2])
        return self.norm(self.head(self.pixel_encoder(mean)), training=training)


class ToyLoss:
    """Two terms; an image whose first pixel is negative makes the second one NaN."""

    def with_diagnostics(self, targets, output, *, seed):
        label = tf.reshape(tf.cast(targets["semantic"], tf.float32), [output.shape[0], -1])[:, :2]
        square = tf.reduce_sum(tf.square(output - label), -1)
        root = tf.sqrt(targets.get("poison", tf.ones_like(square)))
        jitter = 0.0 * tf.random.stateless_uniform(tf.shape(root), seed)
        terms = {"square": square, "root": root + jitter, "total": square + root + jitter}
        return terms, {"unmatched_segments": tf.ones_like(square)}


class OverflowingLoss(ToyLoss):
    """Its gradient passes through float16, scaled up, as in a network that computes in it.

    Multiplied by 2^`exponent` on the way, which the loss does not see.
    """

    def __init__(self, exponent):
        self.exponent = exponent

    def with_diagnostics(self, targets, output, *, seed):
        @tf.custom_gradient
        def through_float16(values):
            def gradient(upstream):
                rounded = tf.cast(upstream * 2.0**self.exponent, tf.float16)
                return tf.cast(rounded, tf.float32) * 2.0**-self.exponent

            return tf.identity(values), gradient

        return super().with_diagnostics(targets, through_float16(output), seed=seed)


def toy_post_processor(size: int, value: int):
    """Predicts the panoptic id `value` everywhere, in maps of `size` x `size`."""

    def process(output: tf.Tensor) -> PanopticPrediction:
        maps = tf.fill([output.shape[0], size, size], value)
        scores = tf.ones_like(maps, tf.float32)
        rows = tf.fill([output.shape[0], 4], -1)
        return PanopticPrediction(
            panoptic=maps,
            semantic=maps // 256,
            mask_id=tf.ones_like(maps),
            instance_score=scores,
            semantic_score=scores,
            segment_class=rows,
            segment_id=rows,
            segment_score=tf.zeros_like(rows, tf.float32),
        )

    return process


def toy_dataset(batch_size: int, *, start_step: int = 0, poisoned_image: int = -1):
    """Endless batches; the image id is the running number, everything else follows from it."""

    def make(number):
        seed = tf.stack([number, 7])
        image = tf.random.stateless_uniform([2, 2, 3], seed, maxval=255.0)
        poison = tf.where(number == poisoned_image, -1.0, 1.0)
        label = tf.random.stateless_uniform([2], seed, maxval=3, dtype=tf.int32)
        targets = {"semantic": label, "poison": poison, "image_id": number}
        return {"image": image / 255.0}, targets

    numbers = tf.data.Dataset.range(start_step * batch_size, 10**9)
    return numbers.map(make).batch(batch_size, drop_remainder=True)


def toy_optimizer(model: tf.keras.Model) -> AdamW:
    """AdamW with a constant rate."""
    return AdamW(
        collect_parameters(model, pixel_encoder_multiplier=0.1),
        schedule=schedules.step_decay(0.05, boundaries=[], factor=1.0),
        weight_decay=0.01,
    )


class SynchronizedToyModel(ToyModel):
    """With statistics over all replicas, as the real models have."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = BatchNorm(NormSettings(momentum=0.9, epsilon=1e-3, sync=True), name="norm")
        self(tf.zeros([1, 2, 2, 3]))

    def call(self, images, training=False):
        # Small values: the variance is the difference of a mean of squares and a squared mean.
        return super().call(images / 255.0, training=training)

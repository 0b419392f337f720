"""Colour policies: five pairs of colour operations, of which one pair is drawn per image.

The operations are those of AutoAugment (Cubuk et al., 2019) on uint8 images, with the arithmetic
of the reference implementation (deeplab2), its oddities included: `contrast` blends with the number
of pixels divided by 256 instead of the mean grey level.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.data.geometry import random_index

NUM_DRAWS = 3
"""Uniform random numbers a policy needs: which pair, whether the first fires, the second."""


class Operation(NamedTuple):
    """A colour operation: its name in `OPERATIONS`, how often it fires, and how strongly."""

    name: str
    probability: float
    level: float


Policy = Tuple[Tuple[Operation, Operation], ...]


def scaled_policy(scale: float) -> Policy:
    """The classification policy with all levels multiplied by `scale`."""
    return tuple(
        (first._replace(level=first.level * scale), second._replace(level=second.level * scale))
        for first, second in SIMPLE_CLASSIFICATION
    )


SIMPLE_CLASSIFICATION: Policy = (
    (Operation("sharpness", 0.4, 7), Operation("brightness", 0.2, 10)),
    (Operation("equalize", 0.0, 9), Operation("contrast", 0.2, 10)),
    (Operation("sharpness", 0.2, 9), Operation("color", 0.2, 9)),
    (Operation("solarize", 0.2, 7), Operation("equalize", 0.6, 9)),
    (Operation("sharpness", 0.2, 1), Operation("equalize", 0.2, 7)),
)


def apply_policy(image: tf.Tensor, policy: Policy, uniforms: tf.Tensor) -> tf.Tensor:
    """Applies one randomly drawn pair.

    Args:
      image: float32 [H, W, 3] in 0..255; truncated to integers even where no operation fires.
      policy: the pairs.
      uniforms: float32 [3] in [0, 1).

    Returns:
      float32 [H, W, 3].
    """
    pixels = tf.cast(image, tf.uint8)

    def apply_pair(pair: Tuple[Operation, Operation]) -> Callable[[], tf.Tensor]:
        def branch() -> tf.Tensor:
            result = pixels
            for operation, uniform in zip(pair, (uniforms[1], uniforms[2])):
                result = _apply_sometimes(result, operation, uniform)
            return result

        return branch

    choice = random_index(uniforms[0], len(policy))
    pixels = tf.switch_case(choice, [apply_pair(pair) for pair in policy])
    pixels.set_shape(image.shape)
    return tf.cast(pixels, tf.float32)


def _apply_sometimes(pixels: tf.Tensor, operation: Operation, uniform: tf.Tensor) -> tf.Tensor:
    """Applies the operation when `floor(uniform + probability)` is 1."""
    if operation.probability == 0:
        return pixels
    function = OPERATIONS[operation.name]
    return tf.cond(
        uniform + operation.probability >= 1,
        lambda: function(pixels, operation.level),
        lambda: pixels,
    )


def enhancement_factor(level: float) -> float:
    """Blending factor of `color`, `contrast`, `brightness` and `sharpness`."""
    return 1.8 * level / 10 + 0.1


def brightness(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Blends black with the image, uint8 [H, W, 3] in and out (as all operations)."""
    return _blend(tf.zeros_like(pixels), pixels, enhancement_factor(level))


def color(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Blends the grey image with the image."""
    return _blend(_gray(pixels), pixels, enhancement_factor(level))


def contrast(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Blends a constant with the image: a 256th of the number of pixels, at most 255."""
    count = tf.cast(tf.reduce_prod(tf.shape(pixels)[:2]), tf.float32)
    constant = tf.cast(tf.minimum(count / 256, 255), tf.uint8)
    return _blend(constant, pixels, enhancement_factor(level))


def sharpness(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Blends a smoothed image with the image; the outermost pixels stay.

    An image of less than 3 pixels in height or width has no others: it stays as it is.
    """
    return tf.cond(
        tf.reduce_min(tf.shape(pixels)[:2]) >= 3,
        lambda: _blend(_smooth_inside(pixels), pixels, enhancement_factor(level)),
        lambda: pixels,
    )


def _smooth_inside(pixels: tf.Tensor) -> tf.Tensor:
    """Smooths all but the outermost pixels; uint8 [H, W, 3] in and out."""
    kernel = np.ones((3, 3), np.float32)
    kernel[1, 1] = 5
    kernel = np.tile((kernel / 13)[:, :, np.newaxis, np.newaxis], [1, 1, 3, 1])
    smooth = tf.nn.depthwise_conv2d(
        tf.cast(pixels, tf.float32)[tf.newaxis], kernel, [1, 1, 1, 1], "VALID"
    )[0]
    smooth = tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)
    inner = tf.pad(tf.ones_like(smooth, tf.bool), [[1, 1], [1, 1], [0, 0]])
    return tf.where(inner, tf.pad(smooth, [[1, 1], [1, 1], [0, 0]]), pixels)


def solarize(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Inverts pixels from a threshold on; level 10 leaves the image as it is."""
    threshold = int(256 * level / 10)
    return tf.where(tf.cast(pixels, tf.int32) < threshold, pixels, 255 - pixels)


def equalize(pixels: tf.Tensor, level: float) -> tf.Tensor:
    """Equalises the histogram of each channel; `level` is not used."""
    del level
    return tf.stack([_equalize_channel(channel) for channel in tf.unstack(pixels, axis=-1)], -1)


def _equalize_channel(channel: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W] in and out."""
    values = tf.cast(channel, tf.int32)
    histogram = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
    last = histogram[tf.reduce_max(values)]
    step = (tf.reduce_sum(histogram) - last) // 255
    # Exclusive sums are the reference's table shifted by one; the first entry, which it sets to 0,
    # is (step // 2) // step = 0.
    table = (tf.cumsum(histogram, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.cast(tf.clip_by_value(table, 0, 255), tf.uint8)
    return tf.cond(step > 0, lambda: tf.gather(table, values), lambda: channel)


def _gray(pixels: tf.Tensor) -> tf.Tensor:
    """Grey level of each pixel, uint8 [H, W, 1]."""
    return tf.image.rgb_to_grayscale(pixels)


def _blend(first: tf.Tensor, second: tf.Tensor, factor: float) -> tf.Tensor:
    """`first + factor * (second - first)`, clipped and truncated; uint8 in and out."""
    if factor == 1.0:
        return second
    start = tf.cast(first, tf.float32)
    mixed = start + factor * (tf.cast(second, tf.float32) - start)
    return tf.cast(tf.clip_by_value(mixed, 0, 255), tf.uint8)


OPERATIONS = {
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "equalize": equalize,
    "sharpness": sharpness,
    "solarize": solarize,
}

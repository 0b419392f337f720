"""Panoptic copy-paste: segments of a second image are laid over the first."""

from __future__ import annotations

import enum
from typing import NamedTuple, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf import labels
from kmax_tf.structures import DatasetInfo

ImageAndLabel = Tuple[tf.Tensor, tf.Tensor]


class Choice(enum.Enum):
    """Which segments of a kind are pasted: a random subset, none, or all of them."""

    RANDOM = "random"
    NONE = "none"
    ALL = "all"


class PasteOptions(NamedTuple):
    """What is pasted.

    Attributes:
      scale: of the pasted image, beside its random scale.
      things, stuff, void: which segments.
    """

    scale: float
    things: Choice
    stuff: Choice
    void: Choice


def padding_label(info: DatasetInfo) -> int:
    """Label outside the pasted image: void with instance 1, so that it differs from its void."""
    return info.void_panoptic + 1


def paste(
    base: ImageAndLabel,
    pasted: ImageAndLabel,
    info: DatasetInfo,
    *,
    options: PasteOptions,
    seed: tf.Tensor,
) -> Tuple[tf.Tensor, tf.Tensor, int]:
    """Lays a drawn choice of segments over the base image.

    Args:
      base: image float32 [H, W, 3] and label int32 [H, W].
      pasted: the same; its label is `padding_label` outside the image.
      info: the classes.
      options: what is pasted.
      seed: int64 [2].

    Returns:
      As `paste_segments`.
    """
    values, index = tf.unique(tf.reshape(pasted[1], [-1]))
    drawn = draw_subset(tf.size(values), seed)
    kept = tf.gather(choose_segments(values, drawn, info, options=options), index)
    return paste_segments(base, pasted, tf.reshape(kept, tf.shape(pasted[1])), info)


def draw_subset(count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random subset: its size is uniform in 0..count, its members are a random permutation's.

    Args:
      count: int32 scalar.
      seed: int64 [2].

    Returns:
      bool [count].
    """
    uniforms = tf.random.stateless_uniform(tf.stack([count + 1]), seed)
    size = tf.cast(uniforms[0] * tf.cast(count + 1, tf.float32), tf.int32)
    rank = tf.math.invert_permutation(tf.argsort(uniforms[1:], stable=True))
    return rank < size


def choose_segments(
    values: tf.Tensor, drawn: tf.Tensor, info: DatasetInfo, *, options: PasteOptions
) -> tf.Tensor:
    """Which labels are pasted.

    Args:
      values: int32 [U], distinct labels in order of first appearance.
      drawn: bool [U], the random subset.
      info: the classes.
      options: what is pasted.

    Returns:
      bool [U].
    """
    class_id = labels.class_of(values, info.label_divisor)
    kept = tf.zeros_like(drawn)
    for ids, choice in ((info.thing_ids, options.things), (info.stuff_ids, options.stuff)):
        kept |= _is_one_of(class_id, ids) & _chosen(choice, drawn)
    return kept | ((values == info.void_panoptic) & _chosen(options.void, drawn))


def paste_segments(
    base: ImageAndLabel, pasted: ImageAndLabel, kept: tf.Tensor, info: DatasetInfo
) -> Tuple[tf.Tensor, tf.Tensor, int]:
    """Lays the kept pixels over the base image.

    Instances of both images must stay apart. The reference gives pasted instance i the number
    D-1-i and fails from D/2 on; here the label gets twice the divisor, and the upper half of the
    numbers belongs to the pasted instances.

    Args:
      base: image float32 [H, W, 3] and label int32 [H, W].
      pasted: the same.
      kept: bool [H, W], pixels of `pasted` to use.
      info: the classes.

    Returns:
      image float32 [H, W, 3], label int32 [H, W], and the divisor of the label, 2 D.
    """
    divisor = info.label_divisor
    label = base[1] + labels.class_of(base[1], divisor) * divisor
    upper = tf.where(labels.instance_of(pasted[1], divisor) > 0, divisor, 0)
    pasted_label = pasted[1] + labels.class_of(pasted[1], divisor) * divisor + upper
    image = tf.where(tf.expand_dims(kept, -1), pasted[0], base[0])
    return image, tf.where(kept, pasted_label, label), 2 * divisor


def _chosen(choice: Choice, drawn: tf.Tensor) -> tf.Tensor:
    """bool [U]."""
    if choice is Choice.RANDOM:
        return drawn
    return tf.fill(tf.shape(drawn), choice is Choice.ALL)


def _is_one_of(class_id: tf.Tensor, ids: Tuple[int, ...]) -> tf.Tensor:
    """Whether each class id (int32 [U]) is in `ids`; bool [U]."""
    table = np.zeros(max([0, *ids]) + 1, bool)
    table[list(ids)] = True
    inside = (class_id >= 0) & (class_id < len(table))
    return inside & tf.gather(tf.constant(table), tf.where(inside, class_id, 0))

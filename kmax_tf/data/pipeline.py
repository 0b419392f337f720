"""From record files to batches.

Every random number is a function of the seed and of the running number of the element, and every
parallel step keeps the order, so a run can continue anywhere with the very batches it would have
seen.
"""

from __future__ import annotations

from typing import Collection, Dict, NamedTuple, Optional, Tuple

import tensorflow as tf

from kmax_tf.data import (
    copy_paste,
    geometry,
    photometric,
    record_order,
    records,
    schema,
    targets,
)
from kmax_tf.data.task import read_labels
from kmax_tf.structures import DatasetInfo, EvalTargets, Features, Sample, Targets

DRAWS = geometry.NUM_DRAWS + photometric.NUM_DRAWS
"""Uniform random numbers one image needs."""


class TrainingOptions(NamedTuple):
    """How training images are made.

    Attributes:
      crop: height and width of the result.
      resize: before augmentation.
      scale_bounds: smallest and largest random scale.
      scale_step: spacing of the scales to draw from, 0 = continuous.
      policy: colour policy, None = no colour changes.
      paste: what is pasted from a second image, None = nothing.
      targets: how targets are made.
    """

    crop: Tuple[int, int]
    resize: geometry.ResizeOptions
    scale_bounds: Tuple[float, float]
    scale_step: float
    policy: Optional[photometric.Policy]
    paste: Optional[copy_paste.PasteOptions]
    targets: targets.TargetOptions


def training_dataset(
    source: records.RecordFiles,
    info: DatasetInfo,
    *,
    options: TrainingOptions,
    batch_size: int,
    seed: int,
    start_step: int,
    excluded: record_order.Exclusions,
    share: Tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless batches of (Features, Targets), all shapes static.

    Args:
      source: the record files.
      info: the classes.
      options: how images and targets are made.
      batch_size: images per step.
      seed: decides order and all random changes.
      start_step: number of batches to leave out; the first batch is the one that a dataset from
        step 0 gives after as many others.
      excluded: records to leave out.
      share: (index, count), see `records.positions`; `count` divides the batch size.
    """
    start = start_step * batch_size
    stream = records.shuffled_records(
        source, seeds=order_seeds(seed, options), start=start, excluded=excluded, share=share
    )

    @tf.autograph.experimental.do_not_convert  # plain graph code; converting it takes seconds
    def make(number: tf.Tensor, elements: tuple) -> Tuple[Features, Targets]:
        return make_training_example(elements, info, options=options, seed=seed, number=number)

    dataset = stream.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size // share[1], drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_deterministic())


def order_seeds(seed: int, options: TrainingOptions) -> Tuple[int, ...]:
    """Seed of the order of the images, and of those that are pasted from where some are."""
    return (seed,) if options.paste is None else (seed, partner_seed(seed))


def partner_seed(seed: int) -> int:
    """Seed of the order of the images that are pasted from."""
    return seed + 0x5EED


def make_training_example(
    elements: tuple,
    info: DatasetInfo,
    *,
    options: TrainingOptions,
    seed: int,
    number: tf.Tensor,
) -> Tuple[Features, Targets]:
    """One training example from one record, or from two with copy-paste.

    Args:
      elements: one or two pairs of image id (int64 scalar) and serialised example (string scalar).
      info: the classes.
      options: how images and targets are made.
      seed: with `number` decides all random changes.
      number: int64 scalar, running number of the element.
    """
    image_id, serialized = elements[0]
    # One draw for everything: a row for the image, one for the image pasted from.
    uniforms = tf.random.stateless_uniform([len(elements), DRAWS], tf.stack([seed, number]))
    label_divisor = info.label_divisor
    image, label, placement = _augment(
        serialized, image_id, uniforms[0], info, options=options, scale=1.0
    )
    if options.paste is not None:
        pasted, pasted_label, _ = _augment(
            elements[1][1], elements[1][0], uniforms[1], info,
            options=options, scale=options.paste.scale,
        )  # fmt: skip
        keep_seed = tf.stack([partner_seed(seed), number])
        image, label, label_divisor = copy_paste.paste(
            (image, label), (pasted, pasted_label), info, options=options.paste, seed=keep_seed
        )
    made = targets.make_targets(
        label, info=info, label_divisor=label_divisor, options=options.targets
    )
    with tf.control_dependencies([_check_labels(made, label_divisor, serialized)]):
        image = tf.identity(image)
    return {"image": image}, _as_targets(
        made, geometry.valid_size(placement, options.crop), image_id
    )


def _augment(
    serialized: tf.Tensor,
    image_id: tf.Tensor,
    uniforms: tf.Tensor,
    info: DatasetInfo,
    *,
    options: TrainingOptions,
    scale: float,
) -> Tuple[tf.Tensor, tf.Tensor, geometry.Placement]:
    """Decodes one record and changes it at random.

    Returns:
      image float32 [*crop, 3], label int32 [*crop], placement.
    """
    sample = decode_sample(serialized, image_id, info, decode_label=True)
    bounds = (options.scale_bounds[0] * scale, options.scale_bounds[1] * scale)
    placement = geometry.random_placement(
        tf.shape(sample.panoptic),
        uniforms[: geometry.NUM_DRAWS],
        options=options.resize,
        scales=geometry.scale_values(*bounds, options.scale_step),
        scale_bounds=bounds,
        crop=options.crop,
    )
    image = geometry.scale_image(sample.image, placement)
    if options.policy is not None:
        image = photometric.apply_policy(image, options.policy, uniforms[geometry.NUM_DRAWS :])
    image = geometry.place_image(image, placement, options.crop)
    # Padding of a pasted image is told apart from its void.
    padding = info.void_panoptic if scale == 1.0 else copy_paste.padding_label(info)
    label = geometry.place_label(sample.panoptic, placement, options.crop, padding)
    return image, label, placement


def evaluation_dataset(
    source: records.RecordFiles,
    info: DatasetInfo,
    *,
    crop: Tuple[int, int],
    resize: geometry.ResizeOptions,
    target_options: Optional[targets.TargetOptions],
    batch_size: int,
    start_step: int,
    excluded: Collection[int],
    share: Tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Every image once, in order, as (Features, Targets, EvalTargets); the last batch may be short.

    Args:
      source: the record files.
      info: the classes.
      crop: height and width of the network's input.
      resize: its maximum must not exceed the crop.
      target_options: None for records without labels: then `Targets` has only `valid_size` and
        `image_id`, and `EvalTargets` only `original_size`.
      batch_size: images per step.
      start_step: number of batches to leave out.
      excluded: image ids of records to leave out.
      share: (index, count), see `records.positions`; `count` divides the batch size.
    """

    @tf.autograph.experimental.do_not_convert
    def make(image_id: tf.Tensor, serialized: tf.Tensor) -> tuple:
        sample = decode_sample(serialized, image_id, info, decode_label=target_options is not None)
        size = tf.shape(sample.image)[:2]
        placement = geometry.fixed_placement(size, resize)
        image = geometry.scale_image(sample.image, placement)
        features = {"image": geometry.place_image(image, placement, crop)}
        valid = geometry.valid_size(placement, crop)
        if target_options is None:
            known = {"valid_size": valid, "image_id": image_id}
            return features, known, {"original_size": size}
        label = geometry.place_label(sample.panoptic, placement, crop, info.void_panoptic)
        made = targets.make_targets(
            label, info=info, label_divisor=info.label_divisor, options=target_options
        )
        with tf.control_dependencies([_check_labels(made, info.label_divisor, serialized)]):
            original = tf.identity(sample.panoptic)
        evaluated: EvalTargets = {"original_panoptic": original, "original_size": size}
        return features, _as_targets(made, valid, image_id), evaluated

    dataset = records.ordered_records(
        source, start=start_step * batch_size, excluded=excluded, share=share
    )
    dataset = dataset.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if target_options is None:
        dataset = dataset.batch(batch_size // share[1])
    else:
        padding = tf.nest.map_structure(lambda spec: tf.zeros([], spec.dtype), dataset.element_spec)
        padding[2]["original_panoptic"] = tf.constant(info.void_panoptic, tf.int32)
        dataset = dataset.padded_batch(batch_size // share[1], padding_values=padding)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_deterministic())


def decode_sample(
    serialized: tf.Tensor, image_id: tf.Tensor, info: DatasetInfo, *, decode_label: bool
) -> Sample:
    """Decodes a record (string scalar); the label is all zeros without `decode_label`.

    The label is read as the task wants it (`read_labels`), so that targets, ground truth and what
    is pasted agree. A record that contradicts itself stops the run with its file name in the
    message.
    """
    record = schema.parse_record(serialized, decode_label=decode_label)
    image = schema.decode_image(record)
    size = tf.shape(image)[:2]
    stated = tf.stack([record.height, record.width])
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.cast(size, tf.int64) == stated),
            ["Bad record", record.file_name, "has an image of size", size, "but states", stated],
        )
    ]
    if decode_label:
        stated_bytes = 4 * record.height * record.width
        found_bytes = tf.strings.length(record.label)
        checks.append(
            tf.debugging.Assert(
                tf.cast(found_bytes, tf.int64) == stated_bytes,
                ["Bad record", record.file_name, "has label bytes", found_bytes,
                 "but its size needs", stated_bytes],
            )
        )  # fmt: skip
    with tf.control_dependencies(checks):
        image = tf.identity(image)
        panoptic = tf.zeros(size, tf.int32)
        if decode_label:
            panoptic = read_labels(schema.decode_label(record), info)
    return Sample(image, panoptic, image_id)


def _check_labels(
    made: targets.PixelTargets, label_divisor: int, serialized: tf.Tensor
) -> tf.Operation:
    """An assertion that every label belongs to a class."""
    with tf.control_dependencies([made.unknown_labels]):  # made of the parsed record
        serialized = tf.identity(serialized)
    return tf.debugging.Assert(
        tf.equal(tf.size(made.unknown_labels), 0),
        ["Bad record", schema.file_name_of(serialized), "has pixels of unknown classes",
         made.unknown_labels // label_divisor],
    )  # fmt: skip


def _as_targets(made: targets.PixelTargets, valid: tf.Tensor, image_id: tf.Tensor) -> Targets:
    fields: Dict[str, tf.Tensor] = made._asdict()
    del fields["unknown_labels"]
    return {**fields, "valid_size": valid, "image_id": image_id}  # type: ignore[typeddict-item]


def _deterministic() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Several processes each take their share of the batches; record files may be too few.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options

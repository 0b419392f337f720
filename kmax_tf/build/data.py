"""From `DatasetOptions` to a `tf.data.Dataset`."""

from __future__ import annotations

import dataclasses
from typing import Iterator, Mapping, Optional, Sequence, Tuple

import tensorflow as tf

from kmax_tf.data import (
    copy_paste,
    data_service,
    geometry,
    photometric,
    pipeline,
    record_check,
    records,
    targets,
)
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.task import Task, apply_task
from kmax_tf.structures import DatasetInfo
from protos import data_pb2, experiment_pb2

_POLICIES = {
    data_pb2.AugmentationOptions.NO_POLICY: None,
    data_pb2.AugmentationOptions.SIMPLE_CLASSIFICATION_POLICY: photometric.SIMPLE_CLASSIFICATION,
    data_pb2.AugmentationOptions.SIMPLE_CLASSIFICATION_POLICY_MAGNITUDE_SCALE_0_2: (
        photometric.scaled_policy(0.2)
    ),
}
_CHOICES = {
    data_pb2.PanopticCopyPasteOptions.RANDOM: copy_paste.Choice.RANDOM,
    data_pb2.PanopticCopyPasteOptions.NONE: copy_paste.Choice.NONE,
    data_pb2.PanopticCopyPasteOptions.ALL: copy_paste.Choice.ALL,
}


def dataset_info_of(options: data_pb2.DatasetOptions) -> DatasetInfo:
    """The classes of the data set, as its task sees them.

    Raises:
      ValueError: there is no description, or the task leaves none of its classes.
    """
    return apply_task(load_dataset_info(options.dataset_info), task_of(options))


def task_of(options: data_pb2.DatasetOptions) -> Task:
    """What is learned or measured."""
    return Task(data_pb2.DatasetOptions.Task.Name(options.task))


def find_source(options: data_pb2.DatasetOptions) -> records.RecordFiles:
    """The record files; they may be damaged where the options allow bad records.

    Raises:
      ValueError: they are not there, empty, or damaged.
    """
    return records.find_records(options.file_pattern, damage_allowed=options.max_bad_records > 0)


def build_dataset(
    options: data_pb2.DatasetOptions,
    *,
    training: bool,
    seed: int = 0,
    start_step: int = 0,
    batch_size: Optional[int] = None,
    excluded: Optional[Mapping[int, int]] = None,
    share: Tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Builds the input of training or evaluation.

    Args:
      options: the configuration.
      training: endless random batches of `(Features, Targets)`; otherwise every image once, in
        order, as `(Features, Targets, EvalTargets)`, the last batch possibly short.
      seed: decides order and random changes of training.
      start_step: number of batches to leave out, to continue where a run stopped.
      batch_size: instead of `options.batch_size`.
      excluded: image ids of records to leave out -> training step from which they are. Training
        uses the next record of the order instead, so all others stay at their steps.
      share: (index, count): only the images whose running number is `index` modulo `count` are
        made, in batches of `batch_size / count`. All shares together give the same batches.

    Returns:
      The dataset; see `structures` for keys, shapes and types. With `options.data_service` training
      batches come from there, and which images meet in one is left to chance.

    Raises:
      ValueError: options that contradict one another, or record files that are not there, or of
        which nothing is left, or a service that cannot be reached.
    """
    info = dataset_info_of(options)
    crop = crop_size(options)
    resize = resize_options(options, training=training)
    size = _batch_size(options, batch_size)
    if start_step < 0:
        raise ValueError(f"`start_step` must be at least 0; received {start_step}.")
    made = training_options(options, info) if training else None
    source = find_source(options)
    left_out = excluded or {}
    if len(left_out) >= source.total:
        raise ValueError(f"All {source.total} records of `file_pattern` are left out as bad ones.")
    if not 0 <= share[0] < share[1] or size % share[1]:
        raise ValueError(
            f"`share` must be a position and a number that divides the batch size {size}; received "
            f"{share}."
        )
    if made is not None:
        if options.data_service:
            data_service.require_reachable(
                options.data_service, "train_dataset_options.data_service"
            )
        dataset = pipeline.training_dataset(
            source,
            info,
            options=made,
            batch_size=size,
            seed=seed,
            start_step=start_step,
            excluded={image_id: step * size for image_id, step in left_out.items()},
            share=share,
        )
        if options.data_service:
            dataset = data_service.distribute(dataset, options.data_service)
        return dataset
    labelled = options.decode_groundtruth_label
    return pipeline.evaluation_dataset(
        source,
        info,
        crop=crop,
        resize=resize,
        # Crowd is always told apart in evaluation.
        target_options=target_options(options, crowd_as_void=False) if labelled else None,
        batch_size=size,
        start_step=start_step,
        excluded=left_out,
        share=share,
    )


def find_bad_records(
    options: data_pb2.DatasetOptions,
    *,
    training: bool,
    seed: int = 0,
    start_step: int = 0,
    batch_size: Optional[int] = None,
    excluded: Optional[Mapping[int, int]] = None,
    batches: int = 64,
) -> Iterator[record_check.BadRecord]:
    """Looks for the records at which a dataset of `build_dataset` stopped.

    Call it after TensorFlow raised InvalidArgumentError or DataLossError from the input. Order is
    a function of the seed, so training's next batches are looked at until one has bad records;
    they and those of the evaluation come out in the order in which they would be read.

    Args:
      options: as given to `build_dataset`.
      training: the same.
      seed: the same.
      start_step: the step that failed.
      batch_size: as given to `build_dataset`.
      excluded: as given to `build_dataset`.
      batches: of training: how many to search, at least what is prefetched.

    Returns:
      Nothing, if the records of these batches are all right.
    """
    info = dataset_info_of(options)
    source = find_source(options)
    labelled = options.decode_groundtruth_label
    left_out = excluded or {}
    if not training or options.data_service:  # of the service nobody knows where it stopped
        kept = (i for i in range(source.total) if i not in left_out)
        yield from record_check.find_bad_records(source, kept, info, decode_label=labelled)
        return
    size = _batch_size(options, batch_size)
    seeds = pipeline.order_seeds(seed, training_options(options, info))
    positions = {image_id: step * size for image_id, step in left_out.items()}
    for step in range(start_step, start_step + batches):
        image_ids = records.ids_at(
            range(step * size, (step + 1) * size), source, seeds=seeds, excluded=positions
        )
        found = record_check.find_bad_records(source, image_ids, info, decode_label=labelled)
        first = next(found, None)
        if first is not None:
            yield first
            yield from found
            return


def _batch_size(options: data_pb2.DatasetOptions, given: Optional[int]) -> int:
    size = options.batch_size if given is None else given
    if size < 1:
        raise ValueError(f"`batch_size` must be at least 1; received {size}.")
    return size


def require_same_classes(config: experiment_pb2.ExperimentOptions) -> None:
    """Raises ValueError where training and evaluation name different tasks or classes."""
    train, evaluated = config.train_dataset_options, config.eval_dataset_options
    if config.HasField("eval_dataset_options") and evaluated.task != train.task:
        raise ValueError(
            "`eval_dataset_options.task` must be the same as `train_dataset_options.task`, "
            f"{task_of(train).value}; received {task_of(evaluated).value}."
        )
    train_name, eval_name = train.dataset_info, evaluated.dataset_info
    if eval_name in ("", train_name):
        return
    info, other = dataset_info_of(train), dataset_info_of(evaluated)
    if dataclasses.replace(other, name=info.name, colors=info.colors) != info:
        raise ValueError(
            f"`eval_dataset_options.dataset_info` {eval_name} must have the classes of "
            f"`train_dataset_options.dataset_info` {train_name}."
        )


def training_options(
    options: data_pb2.DatasetOptions, info: DatasetInfo
) -> pipeline.TrainingOptions:
    """The settings of the training pipeline; raises ValueError where they contradict."""
    if not options.decode_groundtruth_label:
        raise ValueError("Training needs labels: `decode_groundtruth_label` must be true.")
    changes = options.augmentations
    bounds = (changes.min_scale_factor, changes.max_scale_factor)
    geometry.scale_values(*bounds, changes.scale_factor_step_size)
    return pipeline.TrainingOptions(
        crop=crop_size(options),
        resize=resize_options(options, training=True),
        scale_bounds=bounds,
        scale_step=changes.scale_factor_step_size,
        policy=_POLICIES[changes.autoaugment_policy_name],
        paste=_paste_options(changes),
        targets=target_options(options, crowd_as_void=options.crowd_as_void),
    )


def target_options(
    options: data_pb2.DatasetOptions, *, crowd_as_void: bool
) -> targets.TargetOptions:
    """The settings of the targets."""
    if options.max_thing_id < 1:
        raise ValueError(f"`max_thing_id` must be at least 1; received {options.max_thing_id}.")
    weighted = options.increase_small_instance_weights
    return targets.TargetOptions(
        max_things=options.max_thing_id,
        crowd_as_void=crowd_as_void,
        small_thing_area=options.small_instance_threshold if weighted else 0,
        small_thing_weight=options.small_instance_weight,
    )


def crop_size(options: data_pb2.DatasetOptions) -> Tuple[int, int]:
    """Height and width of the network's input; raises ValueError unless there are two."""
    values = tuple(options.crop_size)
    if len(values) != 2 or min(values) < 1:
        raise ValueError(
            f"`crop_size` must be a height and a width above 0; received {list(values)}."
        )
    return values[0], values[1]


def resize_options(options: data_pb2.DatasetOptions, *, training: bool) -> geometry.ResizeOptions:
    """Limits of the resize; unset = the crop size, not positive = none.

    In evaluation the image must fit into the crop, so there no upper limit means the crop too.

    Raises:
      ValueError: a wrong number of values, or an upper limit above the crop.
    """
    crop = crop_size(options)
    minimum = _limit("min_resize_value", options.min_resize_value, crop)
    maximum = _limit("max_resize_value", options.max_resize_value, crop)
    if maximum is None and not training:
        maximum = crop
    if maximum is not None and (maximum[0] > crop[0] or maximum[1] > crop[1]):
        raise ValueError(
            f"`max_resize_value` must not exceed `crop_size` {list(crop)}; received "
            f"{list(maximum)}."
        )
    if options.resize_factor < 0:
        raise ValueError(f"`resize_factor` must be at least 0; received {options.resize_factor}.")
    return geometry.ResizeOptions(minimum, maximum, options.resize_factor)


def _limit(name: str, values: Sequence[int], crop: Tuple[int, int]) -> Optional[Tuple[int, int]]:
    """One limit of the resize from 0, 1 or 2 values."""
    if len(values) > 2:
        raise ValueError(f"`{name}` must have one or two values; received {list(values)}.")
    if not values:
        return crop
    if min(values) <= 0:
        return None
    return values[0], values[-1]


def _paste_options(
    changes: data_pb2.AugmentationOptions,
) -> Optional[copy_paste.PasteOptions]:
    options = changes.panoptic_copy_paste
    if options.panoptic_copy_paste_scale <= 0:
        return None
    return copy_paste.PasteOptions(
        scale=options.panoptic_copy_paste_scale,
        things=_CHOICES[options.panoptic_copy_paste_thing_option],
        stuff=_CHOICES[options.panoptic_copy_paste_stuff_option],
        void=_CHOICES[options.panoptic_copy_paste_void_option],
    )

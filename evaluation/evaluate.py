"""Evaluates a checkpoint on a data set; saves its predictions on request."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf

from evaluation.batch_prediction import BatchPredictor
from evaluation.crowd import crowd_note
from evaluation.evaluator import Evaluator
from evaluation.submissions import COCO_PANOPTIC, open_submission, require_format
from kmax_tf.build.compilation import jit_compile_of
from kmax_tf.build.config import require_filled
from kmax_tf.build.data import build_dataset, dataset_info_of, find_source, task_of
from kmax_tf.build.inference import build_inference
from kmax_tf.data.records import read_file_names
from kmax_tf.finite import require_finite
from kmax_tf.results.coco_panoptic import CocoPanopticWriter
from kmax_tf.results.restore import restore_map
from kmax_tf.results.segments import Segment, find_segments, mean_thing_scores
from kmax_tf.structures import DatasetInfo, PanopticPrediction
from protos import data_pb2, experiment_pb2

PathLike = Union[str, "os.PathLike[str]"]
Advance = Callable[[int], None]
PREDICTIONS_JSON = "panoptic.json"


class Evaluation(NamedTuple):
    """What was measured.

    Attributes:
      result: metrics in percent (`Evaluator.result`); empty for data without labels.
      table: the same for a terminal.
      num_images: how many images were predicted.
    """

    result: Dict[str, Any]
    table: str
    num_images: int


class PredictedImage(NamedTuple):
    """One prediction at the size of its image file.

    Attributes:
      image_id: index of the record.
      panoptic: int32 [H, W], panoptic ids.
      semantic: int32 [H, W], class ids.
      ground_truth: int32 [H, W], panoptic ids; None for data without labels.
      segment_id: int32 [Q], see `PanopticPrediction`.
      segment_score: float32 [Q].
      instance_score: float32 [H, W].
      semantic_score: float32 [H, W].
    """

    image_id: int
    panoptic: np.ndarray
    semantic: np.ndarray
    ground_truth: Optional[np.ndarray]
    segment_id: np.ndarray
    segment_score: np.ndarray
    instance_score: np.ndarray
    semantic_score: np.ndarray

    def segments(self, info: DatasetInfo) -> List[Segment]:
        """The segments of `panoptic`; things with the scores that rank them among detections."""
        scores = self.thing_scores(info)
        return [
            dataclasses.replace(segment, score=scores.get(segment.segment_id, segment.score))
            for segment in find_segments(self._asdict(), info)
        ]

    def thing_scores(self, info: DatasetInfo) -> Dict[int, float]:
        """Panoptic id of each thing segment -> the score that ranks it among detections."""
        return mean_thing_scores(
            self.panoptic,
            instance_score=self.instance_score,
            semantic_score=self.semantic_score,
            info=info,
        )


def evaluate_checkpoint(
    config: experiment_pb2.ExperimentOptions,
    checkpoint: PathLike,
    *,
    save_predictions: Optional[PathLike] = None,
    save_format: str = COCO_PANOPTIC,
    strategy: Optional[tf.distribute.Strategy] = None,
    advance: Advance = lambda count: None,
    raw_weights: bool = False,
    excluded: Optional[Mapping[int, int]] = None,
) -> Evaluation:
    """Evaluates on `eval_dataset_options`, every image once and at the size of its file.

    Args:
      config: checked (`load_config`).
      checkpoint: prefix, or a folder, which means its latest.
      save_predictions: folder for the predictions.
      save_format: one of `submissions.FORMATS`; by default one panoptic PNG per image and
        `panoptic.json` (COCO).
      strategy: where the network runs, each batch split over its replicas; None = the default
        strategy, one device.
      advance: called with the number of images after each batch.
      raw_weights: of `checkpoint`, see `load_checkpoint`.
      excluded: records to leave out, see `build_dataset`.

    Raises:
      ValueError: data or checkpoint are missing or do not fit the config, or there is neither a
        label to compare with nor a folder to save in, or the format cannot hold the classes or a
        number of a prediction, or `use_xla` meets several replicas.
      NonFinitePredictionError: the model's logits are not finite; holds the image ids.
    """
    options = config.eval_dataset_options
    _check(options, save_predictions)
    require_format(save_format, dataset_info_of(options))
    dataset = build_dataset(
        options, training=False, excluded=excluded
    )  # First: finding no data is quick.
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    jit_compile = jit_compile_of(config.trainer_options, strategy)
    with strategy.scope():
        inference = build_inference(config, checkpoint=checkpoint, raw_weights=raw_weights)
    predict = BatchPredictor(
        inference.network,
        batch_size=options.batch_size,
        strategy=strategy,
        jit_compile=jit_compile,
    )
    evaluator = None
    if options.decode_groundtruth_label:
        evaluator = Evaluator(
            inference.info,
            task=task_of(options),
            note=crowd_note(options.file_pattern),
            images_left_out=len(excluded or ()),
        )
    num_images = 0
    names = _read_names(options, excluded) if save_predictions is not None else {}
    with _prediction_writer(save_predictions, save_format, names, inference.info) as write:
        for features, targets, eval_targets in dataset.take(config.evaluator_options.eval_steps):
            prediction = predict(features["image"])
            for image in images_of_batch(prediction, targets, eval_targets):
                if evaluator is not None and image.ground_truth is not None:
                    evaluator.update_image(
                        image.ground_truth,
                        panoptic=image.panoptic,
                        semantic=image.semantic,
                        scores=image.thing_scores(inference.info),
                    )
                write(image)
            count = int(features["image"].shape[0])
            num_images += count
            advance(count)
    if evaluator is None:
        return Evaluation({}, "", num_images)
    return Evaluation(evaluator.result(), evaluator.table(), num_images)


def images_of_batch(
    prediction: PanopticPrediction,
    targets: Mapping[str, tf.Tensor],
    eval_targets: Mapping[str, tf.Tensor],
) -> Iterator[PredictedImage]:
    """Takes a batch apart, each image without padding and at the size of its file.

    Args:
      prediction: maps int32 [B, H, W] at network size.
      targets: `Targets`; read are valid_size int32 [B, 2] and image_id int64 [B].
      eval_targets: `EvalTargets`; original_panoptic may be absent.

    Raises:
      NonFinitePredictionError: the model's logits are not finite; holds the image ids.
    """
    require_finite(prediction.segment_score, np.asarray(targets["image_id"]).tolist())
    maps = {
        name: np.asarray(getattr(prediction, name))
        for name in ("panoptic", "semantic", "instance_score", "semantic_score")
    }
    segment_id, segment_score = (
        np.asarray(prediction.segment_id),
        np.asarray(prediction.segment_score),
    )
    valid_size = np.asarray(targets["valid_size"])
    truth = eval_targets.get("original_panoptic")
    truth = None if truth is None else np.asarray(truth)
    sizes = np.asarray(eval_targets["original_size"])
    for index, image_id in enumerate(np.asarray(targets["image_id"])):
        height, width = sizes[index]
        restored = {
            name: restore_map(values[index], valid_size[index], (height, width))
            for name, values in maps.items()
        }
        yield PredictedImage(
            image_id=int(image_id),
            ground_truth=None if truth is None else truth[index, :height, :width],
            segment_id=segment_id[index],
            segment_score=segment_score[index],
            **restored,
        )


def _check(options: data_pb2.DatasetOptions, save_predictions: Optional[PathLike]) -> None:
    for pattern in options.file_pattern:
        require_filled(pattern, "eval_dataset_options.file_pattern")
    if not options.decode_groundtruth_label and save_predictions is None:
        raise ValueError(
            "`eval_dataset_options.decode_groundtruth_label` is false, so nothing can be measured: "
            "give `--save_predictions` to predict only, or set it to true."
        )


def _read_names(
    options: data_pb2.DatasetOptions, excluded: Optional[Mapping[int, int]]
) -> Dict[int, str]:
    return read_file_names(find_source(options), excluded=tuple(excluded or ()))


@contextlib.contextmanager
def _prediction_writer(
    folder: Optional[PathLike],
    save_format: str,
    names: Mapping[int, str],
    info: DatasetInfo,
) -> Iterator[Callable[[PredictedImage], None]]:
    """Gives a function that saves an image by its name; it does nothing without a folder."""
    if folder is None:
        yield lambda image: None
        return
    if save_format != COCO_PANOPTIC:
        submission = open_submission(save_format, folder, info)
        yield lambda image: submission.add(
            name=names[image.image_id],
            panoptic=image.panoptic,
            semantic=image.semantic,
            scores=image.thing_scores(info),
        )
        return
    json_path = os.path.join(os.fspath(folder), PREDICTIONS_JSON)
    with CocoPanopticWriter(folder, info, json_path=json_path) as writer:

        def write(image: PredictedImage) -> None:
            name = names[image.image_id]
            writer.add(
                image.panoptic,
                name=name,
                # COCO names its files by the zero-padded id; elsewhere the name is the id.
                image_id=int(name) if name.isdecimal() else name,
                segments=image.segments(info),
            )

        yield write

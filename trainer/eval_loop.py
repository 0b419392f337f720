"""Evaluation of the current weights over the whole evaluation set."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import orbit
import tensorflow as tf

from evaluation.batch_prediction import BatchPredictor, Network
from evaluation.evaluate import images_of_batch
from kmax_tf.data.schema import PARSE_ERRORS
from kmax_tf.structures import PanopticPrediction
from trainer.bad_records import BadRecords
from trainer.progress import Progress
from trainer.watchdog import EvaluationPulse, Watchdog
from trainer.workers import Workers


class Picture(NamedTuple):
    """What a comparison is drawn from, at the size of the network's input.

    Attributes:
      image_id: index of the record.
      image: uint8 [H, W, 3].
      ground_truth: int32 [H, W], panoptic ids.
      prediction: int32 [H, W], panoptic ids.
    """

    image_id: int
    image: np.ndarray
    ground_truth: np.ndarray
    prediction: np.ndarray


class EvalLoop(orbit.AbstractEvaluator):
    """Predicts every image once, on all replicas, and hands the results to the evaluator.

    Args:
      network: model and post-processing in one function, see `BatchPredictor`.
      make_dataset: image ids to leave out -> finite dataset, batches of (features, targets,
        eval_targets); the last may be smaller.
      bad_records: what is left out; an evaluation that meets another bad record begins again.
      batch_size: images per batch; of this process where several share the images.
      workers: those who share the images.
      make_evaluator: makes an `evaluation.evaluator.Evaluator`.
      num_images: for the progress bar; 0 = unknown.
      num_pictures: images to draw.
      progress: shows how far it is.
      watchdog: looks after it.
      finish: called with the metrics, the table and the pictures.
      jit_compile: see `BatchPredictor`.
    """

    def __init__(
        self,
        network: Network,
        *,
        make_dataset: Callable[[Mapping[int, int]], tf.data.Dataset],
        bad_records: BadRecords,
        batch_size: int,
        workers: Workers,
        make_evaluator: Callable[[], Any],
        num_images: int,
        num_pictures: int,
        progress: Progress,
        watchdog: Watchdog,
        finish: Callable[[Dict[str, Any], str, List[Picture]], None],
        jit_compile: Optional[bool] = None,
    ) -> None:
        super().__init__(name="eval_loop")
        self._predict = BatchPredictor(
            network, batch_size=batch_size, strategy=workers.strategy, jit_compile=jit_compile
        )
        self._make_dataset = make_dataset
        self._bad_records = bad_records
        self._dataset = make_dataset(bad_records.excluded)
        self._batch_size = batch_size
        self._workers = workers
        self._make_evaluator = make_evaluator
        self._num_images = num_images
        self._num_pictures = num_pictures
        self._progress = progress
        self._watchdog = watchdog
        self._compiles = True
        self._finish = finish

    def evaluate(self, num_steps: tf.Tensor) -> Dict[str, float]:
        """Evaluates `num_steps` batches (int32 scalar, -1 = all); called by orbit's controller.

        Returns:
          `eval/<metric>` in percent.

        Raises:
          NonFinitePredictionError: the model's logits are not finite; holds the image ids.
          KeyboardInterrupt: one of several workers was interrupted.
        """
        while True:
            try:
                evaluator, pictures = self._predict_all(int(num_steps))
                break
            except PARSE_ERRORS:
                if not self._bad_records.search():
                    raise
                self._dataset = self._make_dataset(self._bad_records.excluded)
        result = evaluator.result()
        self._finish(result, evaluator.table(), pictures[: self._num_pictures])
        return {
            f"eval/{name}": float(value)
            for name, value in result.items()
            if isinstance(value, (float, int))
        }

    def _predict_all(self, limit: int) -> Tuple[Any, List[Picture]]:
        """Evaluator and pictures after `limit` batches, -1 = all."""
        evaluator = self._make_evaluator()
        workers = self._workers
        pictures: List[Picture] = []
        total = self._num_images - len(self._bad_records.excluded)
        total = total if limit < 0 else min(total, limit * self._batch_size * workers.count)
        shown = 0
        pulse = EvaluationPulse()
        watching = self._watchdog.watching(pulse.read, "evaluation", compiles=self._compiles)
        self._compiles = False
        with self._progress.evaluation(total) as advance, watching:
            for features, targets, eval_targets in pulse.follow(self._dataset.take(limit)):
                prediction = self._predict(features["image"])
                for image in images_of_batch(prediction, targets, eval_targets):
                    evaluator.update_image(
                        image.ground_truth,
                        panoptic=image.panoptic,
                        semantic=image.semantic,
                        scores=image.thing_scores(evaluator.info),
                    )
                if len(pictures) < self._num_pictures:
                    pictures += _pictures(features, targets, eval_targets, prediction)
                # As if the others were just as far.
                fresh = min(int(features["image"].shape[0]) * workers.count, total - shown)
                shown += fresh
                advance(fresh)
                if workers.interrupted:
                    break
        return self._merge(evaluator), pictures

    def _merge(self, evaluator: Any) -> Any:
        """What all workers have seen together; the same for all of them."""
        if self._workers.count == 1:
            return evaluator
        merged = self._make_evaluator()
        for arrays in self._workers.exchange(evaluator.to_arrays()):
            merged.add_arrays(arrays)
        return merged


def _pictures(
    features: Dict[str, tf.Tensor],
    targets: Dict[str, tf.Tensor],
    eval_targets: Dict[str, tf.Tensor],
    prediction: PanopticPrediction,
) -> Iterable[Picture]:
    """The images of a batch without padding, all at the size of the network's input."""
    for index, image_id in enumerate(targets["image_id"].numpy()):
        height, width = targets["valid_size"][index].numpy()
        original_height, original_width = eval_targets["original_size"][index].numpy()
        rows = np.arange(height) * original_height // height
        columns = np.arange(width) * original_width // width
        truth = eval_targets["original_panoptic"][index].numpy()
        yield Picture(
            image_id=int(image_id),
            image=np.clip(features["image"][index, :height, :width].numpy(), 0, 255).astype(
                "uint8"
            ),
            ground_truth=truth[rows[:, None], columns[None, :]],
            prediction=prediction.panoptic[index, :height, :width],
        )

"""What a model does with one image, step by step, for `kmax predict --explain`."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.build.post_processing import METHODS
from kmax_tf.results.explanation import Evidence, Limits
from kmax_tf.results.restore import restore_map
from kmax_tf.shapes import dimensions
from kmax_tf.structures import PanopticPrediction, SlotDecisions
from protos import experiment_pb2, post_processing_pb2

ExplainImage = Callable[[np.ndarray], Tuple[Dict[str, np.ndarray], Evidence]]
"""uint8 [H, W, 3] -> what `RunBatch` gives for the image, and how it came about."""


class _Traced(NamedTuple):
    """Outputs of the network for a batch of one."""

    prediction: PanopticPrediction
    decisions: SlotDecisions
    assignments: Tuple[tf.Tensor, ...]


def build_explain(
    config: experiment_pb2.ExperimentOptions, inference: Inference, model: tf.keras.Model
) -> ExplainImage:
    """Builds what explains a prediction.

    Args:
      config: checked; read are the post-processing and the number of passes.
      inference: built from it.
      model: what runs in it.

    Returns:
      The function. It raises ValueError where the config asks for several passes, whose slots are
      averaged.
    """
    evaluator = config.evaluator_options
    options = evaluator.post_processing
    processor = METHODS[options.WhichOneof("method")](options, inference.info)

    # Any number of images, although there is one: with a batch of 1 grappler reports an error.
    @tf.function(
        input_signature=[tf.TensorSpec([None, *inference.input_size, 3], tf.float32)],
        autograph=False,
    )
    def run(images: tf.Tensor) -> _Traced:
        output = model(images, training=False, return_cluster_assignment=True)
        size = dimensions(images)[1:3]
        return _Traced(
            processor(output.final, size),
            processor.explain(output.final, size),
            output.cluster_assignment,
        )

    def explain(image: np.ndarray) -> Tuple[Dict[str, np.ndarray], Evidence]:
        if evaluator.eval_scales or evaluator.add_flipped_images:
            raise ValueError(
                "An explanation shows one pass of the network: leave out "
                "`evaluator_options.eval_scales` and `add_flipped_images`; received "
                f"{list(evaluator.eval_scales)} and {evaluator.add_flipped_images}."
            )
        prepared, valid_size = inference.prepare(tf.constant(image))
        traced = run(prepared[tf.newaxis])
        sizes = (inference.input_size, valid_size.numpy(), image.shape[:2])
        prediction, decisions = (
            {name: value[0].numpy() for name, value in part._asdict().items()}
            for part in (traced.prediction, traced.decisions)
        )
        for name in ("panoptic", "semantic"):
            prediction[name] = _restore(prediction[name], *sizes)
        for name in ("best_slot", "best_probability"):
            decisions[name] = _restore(decisions[name], *sizes)
        stages = [assignment[0].numpy() for assignment in traced.assignments]
        evidence = Evidence(
            decisions=SlotDecisions(**decisions),
            stages=tuple(_restore(stage, *sizes) for stage in stages),
            stage_sizes=tuple(stage.shape for stage in stages),
            limits=limits_of(options),
        )
        return prediction, evidence

    return explain


def limits_of(options: post_processing_pb2.PostProcessingOptions) -> Limits:
    """The thresholds of either method."""
    areas = {
        "pixel": options.pixel_confidence_threshold,
        "thing_area": options.thing_area_limit,
        "stuff_area": options.stuff_area_limit,
    }
    if options.WhichOneof("method") == "pixel_wise":
        confidence = options.pixel_wise.transformer_class_confidence_threshold
        return Limits(thing=confidence, stuff=confidence, overlap=0.0, **areas)
    chosen = options.mask_wise
    return Limits(
        thing=chosen.transformer_class_confidence_threshold_thing,
        stuff=chosen.transformer_class_confidence_threshold_stuff,
        overlap=chosen.overlapping_threshold,
        **areas,
    )


def _restore(
    label_map: np.ndarray,
    input_size: Sequence[int],
    valid_size: Sequence[int],
    image_size: Sequence[int],
) -> np.ndarray:
    """A map of the network's input, at any resolution, at the size of the image."""
    enlarged = restore_map(label_map, label_map.shape, input_size)
    return restore_map(enlarged, valid_size, image_size)

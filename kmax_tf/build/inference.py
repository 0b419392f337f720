"""Everything that turns an image into a panoptic map, from one config and one checkpoint."""

from __future__ import annotations

import logging
import os
from typing import Callable, List, NamedTuple, Optional, Tuple, Union

import tensorflow as tf

from kmax_tf.build.config import inference_dataset_options
from kmax_tf.build.data import crop_size, dataset_info_of, require_same_classes, resize_options
from kmax_tf.build.model import build_model
from kmax_tf.build.post_processing import build_post_processor
from kmax_tf.build.validation_of_model import output_stride
from kmax_tf.checkpoints.formats import open_source
from kmax_tf.checkpoints.loading import load_source
from kmax_tf.checkpoints.report import summarize
from kmax_tf.data import geometry
from kmax_tf.layers.folding import fold_batch_norms
from kmax_tf.models.averaged_passes import Pass, predict_in_passes
from kmax_tf.shapes import dimensions
from kmax_tf.structures import DatasetInfo, MaskPrediction, ModelOutput, PanopticPrediction
from protos import data_pb2, experiment_pb2

_LOGGER = logging.getLogger(__name__)

Forward = Callable[[tf.Tensor], ModelOutput]
Prepare = Callable[[tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]
NetworkWithLogits = Callable[[tf.Tensor], Tuple[PanopticPrediction, MaskPrediction]]


class Inference(NamedTuple):
    """A model ready to run.

    Attributes:
      network: float32 [B, h, w, 3] in 0..255 -> `PanopticPrediction` with maps [B, h, w]; h and w
        may be others than those of `input_size`, unless the config asks for several passes.
      prepare: uint8 [H, W, 3] -> float32 [h, w, 3] resized and padded, valid size int32 [2].
      input_size: h and w.
      info: classes.
      compute_dtype: what the model computes its features in.
      stride: both sides of the network's input are multiples of it plus one.
      network_with_logits: as `network`, but also returns the logits that the maps come from.
      model: what runs in `network`; its batch norms may be folded.
    """

    network: Callable[[tf.Tensor], PanopticPrediction]
    prepare: Prepare
    input_size: Tuple[int, int]
    info: DatasetInfo
    compute_dtype: str = "float32"
    stride: int = 32
    network_with_logits: Optional[NetworkWithLogits] = None
    model: Optional[tf.keras.Model] = None


def build_inference(
    config: experiment_pb2.ExperimentOptions,
    *,
    checkpoint: Optional[Union[str, os.PathLike]] = None,
    model: Optional[tf.keras.Model] = None,
    raw_weights: bool = False,
) -> Inference:
    """Builds the model with trained weights, its preprocessing and its post-processing.

    Args:
      config: checked (`load_config`); sizes and classes are those of `eval_dataset_options`, or of
        `train_dataset_options` where it is absent.
      checkpoint: loaded into the model, see `load_checkpoint`: prefix, or a folder, which means
        its latest. None = the weights stay as they are.
      model: built from `config` already, runs with the weights that it has at the time, and is not
        changed; None = it is built here, and its batch norms are folded into the kernels.
      raw_weights: of `checkpoint`, see `load_checkpoint`.

    Raises:
      ValueError: there is no such checkpoint, or it is of another model.
    """
    require_same_classes(config)
    source = None
    if checkpoint is not None:  # Before the slow part.
        source = open_source(checkpoint, raw_weights=raw_weights)
    built = build_model(config) if model is None else model
    if source is not None:
        _LOGGER.info(summarize(load_source(built, source)))
    if model is None:  # One that is given may still be trained, or hold other weights later.
        fold_batch_norms(built)
    forward, post_process = build_forward(config, built), build_post_processor(config)
    options = inference_dataset_options(config)

    def network_with_logits(images: tf.Tensor) -> Tuple[PanopticPrediction, MaskPrediction]:
        output = forward(images)
        return post_process(output, image_size=dimensions(images)[1:3]), output.final

    return Inference(
        network=lambda images: network_with_logits(images)[0],
        prepare=build_prepare(options),
        input_size=crop_size(options),
        info=dataset_info_of(options),
        compute_dtype=built.compute_dtype,
        stride=output_stride(config.model_options),
        network_with_logits=network_with_logits,
        model=built,
    )


def build_forward(config: experiment_pb2.ExperimentOptions, model: tf.keras.Model) -> Forward:
    """The model as inference runs it: in one pass, or in those that the evaluator asks for.

    Args:
      config: checked; read are `evaluator_options.eval_scales` and `add_flipped_images`, and the
        crop size of the evaluation.
      model: built from `config`.

    Returns:
      float32 [B, h, w, 3] in 0..255 of the crop size -> `ModelOutput`, for every post-processor.
    """
    passes = _passes(config)
    if not passes:
        return lambda images: model(images, training=False)
    return lambda images: predict_in_passes(model, images, passes)


def _passes(config: experiment_pb2.ExperimentOptions) -> List[Pass]:
    """The passes of `build_forward`, none where nothing is asked for.

    The one at the crop size comes first, because the others are resized to the first one's masks;
    where there is none it is the first of the list.
    """
    options = config.evaluator_options
    if not options.eval_scales and not options.add_flipped_images:
        return []
    crop = crop_size(inference_dataset_options(config))
    stride = output_stride(config.model_options)
    scales = sorted(options.eval_scales or [1.0], key=lambda scale: scale != 1)
    return [
        Pass(scaled_size(crop, scale, stride), mirrored)
        for scale in scales
        for mirrored in ([False, True] if options.add_flipped_images else [False])
    ]


def scaled_size(size: Tuple[int, int], scale: float, stride: int) -> Tuple[int, int]:
    """The network size nearest to `scale` times `size`: each side k * `stride` + 1, k at least 1.

    `scale` counts the steps between the pixels, so that 1 changes nothing and 2 doubles k.
    """
    height, width = (max(1, round((side - 1) * scale / stride)) * stride + 1 for side in size)
    return height, width


def build_prepare(options: data_pb2.DatasetOptions) -> Prepare:
    """The preprocessing of evaluation for one image, in graph ops; see `Inference.prepare`."""
    crop = crop_size(options)
    resize = resize_options(options, training=False)

    def prepare(image: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        placement = geometry.fixed_placement(tf.shape(image)[:2], resize)
        scaled = geometry.scale_image(image, placement)
        return (
            geometry.place_image(scaled, placement, crop),
            geometry.valid_size(placement, crop),
        )

    return prepare

"""The facts of a model card: sizes counted, latency measured, metrics looked up."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any, Dict, List, NamedTuple, Union

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from kmax_tf.build.inference import Inference
from kmax_tf.checkpoints.files import find_checkpoint
from kmax_tf.export.export import ExportOptions, Verification
from protos import experiment_pb2
from trainer.bench.machine import describe_machine
from trainer.bench.setting import Setting
from trainer.bench.timing import measure
from trainer.bench.yardstick import measure_yardstick
from trainer.metrics_file import MetricsFile
from trainer.model_size import measure_size
from trainer.run_folder import METRICS
from trainer.versions import read_versions

_REPEATS = 5
_BEST = "best"


class Latency(NamedTuple):
    """How long one image of the network's size takes, encoded file to maps.

    Attributes:
      seconds: of the exported model, median.
      yardstick_seconds: of Keras' ResNet-50 forward at the same size, median.
    """

    seconds: float
    yardstick_seconds: float


def describe_export(
    config: experiment_pb2.ExperimentOptions,
    inference: Inference,
    options: ExportOptions,
    *,
    checkpoint: Union[str, os.PathLike],
    folder: pathlib.Path,
    saved_model: Any,
    verification: Verification,
    with_latency: bool,
) -> Dict[str, Any]:
    """The content of the model card, see `format_model_card`.

    Args:
      config: the experiment.
      inference: what was exported.
      options: how it was.
      checkpoint: where the weights came from; its run may know its metrics.
      folder: of the SavedModel.
      saved_model: as `tf.saved_model.load` returns it.
      verification: of the SavedModel.
      with_latency: whether to run it, and the yardstick, for its latency.
    """
    signatures = saved_model.signatures
    latency = _measure_latency(signatures, inference) if with_latency else None
    info = inference.info
    return {
        "name": options.model_name,
        "facts": _facts(config, inference, folder, checkpoint, latency),
        "metrics": known_metrics(checkpoint),
        "input_rules": _input_rules(inference, options),
        "signatures": {name: _tensors(signatures[name]) for name in signatures},
        "classes": [
            {"id": class_id, "name": name, "thing": thing}
            for class_id, name, thing in zip(info.class_ids, info.names, info.is_thing)
        ],
        "label_divisor": info.label_divisor,
        "ignore_label": info.ignore_label,
        "post_processing": dict(options.post_processing),
        "latency": None if latency is None else latency._asdict(),
        "comparison": [row._asdict() for row in verification.comparisons],
        "precision_cost": [row._asdict() for row in verification.precision_cost],
        "config": text_format.MessageToString(config),
    }


def known_metrics(checkpoint: Union[str, os.PathLike]) -> Dict[str, float]:
    """What the run of a checkpoint measured for just these weights: name -> percent.

    Args:
      checkpoint: prefix or folder, `ckpt-<step>` of a run or of its `best/`.

    Returns:
      The `eval/` rows of `metrics.jsonl` at that step; empty where there are none.
    """
    prefix = pathlib.Path(find_checkpoint(checkpoint))
    step = re.search(r"-(\d+)$", prefix.name)
    if step is None:
        return {}
    run = prefix.parent.parent if prefix.parent.name == _BEST else prefix.parent
    rows = [row for row in MetricsFile(run / METRICS).rows() if row["step"] == int(step.group(1))]
    return {
        name[len("eval/") :]: value
        for row in rows
        for name, value in row.items()
        if name.startswith("eval/") and value is not None
    }


def _facts(
    config: experiment_pb2.ExperimentOptions,
    inference: Inference,
    folder: pathlib.Path,
    checkpoint: Union[str, os.PathLike],
    latency: Union[Latency, None],
) -> Dict[str, str]:
    height, width = inference.input_size
    size = measure_size(inference.model, inference.input_size)
    dtype = inference.compute_dtype
    stored = "float32" if dtype == "float32" else f"kernels {dtype}, the rest float32"
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    facts = {
        "experiment": config.experiment_name,
        "checkpoint": pathlib.Path(find_checkpoint(checkpoint)).name,
        "input of the network": f"{height} x {width}",
        "computed in": dtype,
        "weights stored in": stored,
        "size on disk": f"{megabytes:.1f} MB",
        "parameters": f"{size.inference_parameters:,}",
        "multiply-adds of an image": f"{size.multiply_adds / 1e9:.2f} G (FLOPs: twice that)",
    }
    if latency is not None:
        facts["latency of an image"] = (
            f"{latency.seconds:.3f} s, {latency.seconds / latency.yardstick_seconds:.2f} times the "
            f"forward pass of Keras' ResNet-50 at that size ({describe_machine()})"
        )
    facts.update({name: value for name, value in read_versions().items() if value is not None})
    return facts


def _input_rules(inference: Inference, options: ExportOptions) -> List[str]:
    height, width = inference.input_size
    padded = (
        f"and pads it, at the right and below, to the next multiple of {inference.stride} plus one "
        "that holds the largest image of the request"
        if options.free_size
        else f"and pads it, at the right and below, to {height} x {width}"
    )
    return [
        "`serving_default` takes whole JPEG or PNG files, of any sizes in one request; "
        "`image_tensor` takes RGB pixels 0..255, images of one size in one request.",
        f"The graph resizes an image so that it fits into {height} x {width}, as evaluation does, "
        f"{padded}. `valid_size` tells what the image fills; `image_size` its own size.",
        "Maps of `serving_default` have the size of the network's input: cut them to `valid_size` "
        "and resize them to `image_size` by nearest neighbour. Those of `image_tensor` have the "
        "size of the image.",
        "EXIF rotation is not applied: turn images upright before.",
        "A `segment_score` that is NaN tells that the model's logits were not finite.",
    ]


def _tensors(function: Any) -> Dict[str, str]:
    _, inputs = function.structured_input_signature
    tensors = {f"{name} (input)": spec for name, spec in inputs.items()}
    tensors.update(function.structured_outputs)
    return {name: f"{spec.dtype.name} {spec.shape.as_list()}" for name, spec in tensors.items()}


def _measure_latency(signatures: Any, inference: Inference) -> Latency:
    pixels = np.random.RandomState(0).randint(0, 256, (*inference.input_size, 3)).astype(np.uint8)
    files = tf.constant([tf.io.encode_jpeg(pixels).numpy()])
    served = measure(lambda: signatures["serving_default"](image_bytes=files), repeats=_REPEATS)
    setting = Setting(inference.input_size, 1, _REPEATS)
    yardstick, _ = measure_yardstick(setting, forward=True, train=False)
    return Latency(served.median, yardstick.median)

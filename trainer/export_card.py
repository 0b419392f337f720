"""The facts of a model card: sizes counted, latency measured, metrics looked up."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any, Callable, Dict, List, NamedTuple, Union

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from kmax_tf.build.inference import Inference
from kmax_tf.checkpoints.files import find_checkpoint
from kmax_tf.data.geometry import PADDING_VALUE
from kmax_tf.export.export import SAVED_MODEL, ExportOptions, Verification
from kmax_tf.export.network_file import FORMATS
from kmax_tf.export.outputs import RunFile
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
    """How long one image of the network's size takes: to a SavedModel as an encoded file.

    Attributes:
      seconds: of the exported model, median.
      yardstick_seconds: of Keras' ResNet-50 forward at the same size, median.
    """

    seconds: float
    yardstick_seconds: float


class _Exported(NamedTuple):
    """What is different about a SavedModel and a file.

    Attributes:
      signatures: name -> name of a tensor -> type and shape.
      run: runs one image of the network's size.
    """

    signatures: Dict[str, Dict[str, str]]
    run: Callable[[], Any]


def describe_export(
    config: experiment_pb2.ExperimentOptions,
    inference: Inference,
    options: ExportOptions,
    *,
    checkpoint: Union[str, os.PathLike],
    folder: pathlib.Path,
    loaded: Any,
    verification: Verification,
    with_latency: bool,
) -> Dict[str, Any]:
    """The content of the model card, see `format_model_card`.

    Args:
      config: the experiment.
      inference: what was exported.
      options: how it was.
      checkpoint: where the weights came from; its run may know its metrics.
      folder: what was exported.
      loaded: the same, as `load_export` returns it.
      verification: of it.
      with_latency: whether to run it, and the yardstick, for its latency.
    """
    is_saved_model = options.file_format == SAVED_MODEL
    exported = (
        _describe_saved_model(loaded, inference)
        if is_saved_model
        else _describe_file(loaded, inference, options.file_format)
    )
    latency = _measure_latency(exported, inference) if with_latency else None
    info = inference.info
    return {
        "name": options.model_name,
        "facts": _facts(config, inference, options, folder, checkpoint, latency),
        "metrics": known_metrics(checkpoint),
        "input_rules": (
            _input_rules(inference, options) if is_saved_model else _rules_of_file(inference)
        )
        + _RULES,
        "signatures": exported.signatures,
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
    options: ExportOptions,
    folder: pathlib.Path,
    checkpoint: Union[str, os.PathLike],
    latency: Union[Latency, None],
) -> Dict[str, str]:
    height, width = inference.input_size
    size = measure_size(inference.model, inference.input_size)
    dtype = inference.compute_dtype
    if options.half_weights:
        stored = "float16"
    else:
        stored = "float32" if dtype == "float32" else f"kernels {dtype}, the rest float32"
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    facts = {
        "experiment": config.experiment_name,
        "format": _format_name(options.file_format),
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
    ]


def _rules_of_file(inference: Inference) -> List[str]:
    height, width = inference.input_size
    return [
        f"`image` is one image, float32 [1, {height}, {width}, 3], RGB in 0..255; normalisation is "
        "inside.",
        f"Resize an image (bilinear) so that it fits into {height} x {width} with its proportions, "
        f"put it into the top left corner and fill the rest with {PADDING_VALUE}.",
        "Maps have the size of the network's input: cut them to what the image fills and resize "
        "them to the image by nearest neighbour.",
    ]


_RULES = [
    "EXIF rotation is not applied: turn images upright before.",
    "A `segment_score` that is NaN tells that the model's logits were not finite.",
]


def _format_name(file_format: str) -> str:
    if file_format == SAVED_MODEL:
        return "TensorFlow SavedModel"
    chosen = FORMATS[file_format]
    return f"{chosen.title} ({chosen.operators}), `{chosen.file_name}`"


def _describe_saved_model(saved_model: Any, inference: Inference) -> _Exported:
    signatures = saved_model.signatures
    files = tf.constant([tf.io.encode_jpeg(_noise(inference)).numpy()])
    return _Exported(
        {name: _tensors(signatures[name]) for name in signatures},
        lambda: signatures["serving_default"](image_bytes=files),
    )


def _describe_file(run: RunFile, inference: Inference, file_format: str) -> _Exported:
    image = _noise(inference)[np.newaxis].astype(np.float32)
    tensors = {"image (input)": image, **run(image)}
    described = {name: f"{value.dtype} {list(value.shape)}" for name, value in tensors.items()}
    return _Exported({file_format: described}, lambda: run(image))


def _noise(inference: Inference) -> np.ndarray:
    random = np.random.RandomState(0)
    return random.randint(0, 256, (*inference.input_size, 3)).astype(np.uint8)


def _tensors(function: Any) -> Dict[str, str]:
    _, inputs = function.structured_input_signature
    tensors = {f"{name} (input)": spec for name, spec in inputs.items()}
    tensors.update(function.structured_outputs)
    return {name: f"{spec.dtype.name} {spec.shape.as_list()}" for name, spec in tensors.items()}


def _measure_latency(exported: _Exported, inference: Inference) -> Latency:
    served = measure(exported.run, repeats=_REPEATS)
    setting = Setting(inference.input_size, 1, _REPEATS)
    yardstick, _ = measure_yardstick(setting, forward=True, train=False)
    return Latency(served.median, yardstick.median)

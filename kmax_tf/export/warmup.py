"""Warm-up requests of TensorFlow Serving: it replays them before it calls a model ready."""

from __future__ import annotations

import os
import pathlib
from typing import Sequence, Union

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write_warmup_requests(
    folder: Union[str, os.PathLike], *, model_name: str, input_size: Sequence[int]
) -> None:
    """Writes one request per signature, a gray image each.

    Args:
      folder: of the SavedModel version.
      model_name: name in the requests; the server does not compare it.
      input_size: height and width of the network's input, used for the image, so that the warm-up
        touches the same memory as real requests.
    """
    path = pathlib.Path(folder) / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full([*input_size, 3], 127, np.uint8)
    inputs = {
        "serving_default": ("image_bytes", np.array([tf.io.encode_jpeg(image).numpy()], object)),
        # Any size serves; a small one keeps the file small.
        "image_tensor": ("image", image[None, :64, :64]),
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (name, value) in inputs.items():
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name=model_name, signature_name=signature),
                inputs={name: tf.make_tensor_proto(value)},
            )
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())

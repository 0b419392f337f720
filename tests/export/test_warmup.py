"""The warm-up file holds one readable request per signature."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from kmax_tf.export.warmup import WARMUP_FILE, write_warmup_requests


def test_one_request_per_signature(tmp_path):
    write_warmup_requests(tmp_path, model_name="toy", input_size=(33, 65))
    requests = {}
    for record in tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "toy"
        requests[request.model_spec.signature_name] = dict(request.inputs)
    assert sorted(requests) == ["image_tensor", "serving_default"]
    data = tf.make_ndarray(requests["serving_default"]["image_bytes"])
    assert data.shape == (1,)
    assert tf.io.decode_image(data[0]).shape == (33, 65, 3)
    image = tf.make_ndarray(requests["image_tensor"]["image"])
    assert image.shape == (1, 33, 64, 3)
    assert image.dtype == "uint8"

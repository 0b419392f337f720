"""TensorFlow Serving over gRPC."""

from __future__ import annotations

from typing import Optional, Sequence

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from kmax_tf.serving_client.transport import (
    INPUT,
    NEEDED,
    SIGNATURE,
    Fault,
    Outputs,
    RequestError,
    Transport,
    check_outputs,
)

# A panoptic map of 1281 x 1281 alone has 6.6 MB; gRPC refuses more than 4 MB unless told.
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT: Fault.CONTENT,
    grpc.StatusCode.UNAVAILABLE: Fault.BUSY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Fault.BUSY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.BUSY,
    grpc.StatusCode.ABORTED: Fault.BUSY,
}


class GrpcTransport(Transport):
    """Sends requests to a PredictionService, without encryption.

    Args:
      address: `HOST:PORT`; TF Serving's port is 8500.
      model_name: under which the model is served.
      version: of the model; None = the newest.
      timeout: seconds until a request fails.
    """

    def __init__(
        self, address: str, *, model_name: str, version: Optional[int], timeout: float
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=_UNLIMITED)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model_name = model_name
        self._version = version
        self._timeout = timeout

    def send(self, files: Sequence[bytes]) -> Outputs:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = SIGNATURE
        if self._version is not None:
            request.model_spec.version.value = self._version
        request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(list(files), tf.string))
        request.output_filter.extend(NEEDED)
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code = error.code()
            fault = _FAULTS.get(code, Fault.FINAL)
            raise RequestError(f"{code.name}: {error.details()}", fault) from None
        outputs = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
        return check_outputs(outputs, len(files))

    def close(self) -> None:
        self._channel.close()

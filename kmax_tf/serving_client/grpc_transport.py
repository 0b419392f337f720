"""TensorFlow Serving over gRPC."""

from __future__ import annotations

import pathlib
from typing import Optional, Sequence

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from kmax_tf.serving_client.security import Headers, Tls
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

_OPTIONS = [
    # A panoptic map of 1281 x 1281 alone has 6.6 MB; gRPC refuses more than 4 MB unless told.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Straight to the server: `http_proxy` is for the web.
    ("grpc.enable_http_proxy", 0),
]
_TOO_LARGE = "larger than max"

_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT: Fault.CONTENT,
    grpc.StatusCode.UNAVAILABLE: Fault.BUSY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Fault.BUSY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.BUSY,
    grpc.StatusCode.ABORTED: Fault.BUSY,
}


class GrpcTransport(Transport):
    """Sends requests to a PredictionService.

    Args:
      address: `HOST:PORT`; TF Serving's port is 8500.
      model_name: under which the model is served.
      version: of the model; None = the newest, or that with the label.
      timeout: seconds until a request fails.
      label: that the server's config gives to a version, such as `stable`.
      tls: None = without encryption.
      headers: sent with every request, as metadata.

    Raises:
      ValueError: see `Tls`.
    """

    def __init__(
        self,
        address: str,
        *,
        model_name: str,
        version: Optional[int],
        timeout: float,
        label: Optional[str] = None,
        tls: Optional[Tls] = None,
        headers: Headers = (),
    ) -> None:
        if tls is None:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, _credentials(tls), options=_OPTIONS)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model_name = model_name
        self._version = version
        self._timeout = timeout
        self._label = label
        self._metadata = [(name.lower(), value) for name, value in headers]  # As HTTP/2 wants.

    def send(self, files: Sequence[bytes]) -> Outputs:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = SIGNATURE
        if self._version is not None:
            request.model_spec.version.value = self._version
        elif self._label is not None:
            request.model_spec.version_label = self._label
        request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(list(files), tf.string))
        request.output_filter.extend(NEEDED)
        try:
            response = self._stub.Predict(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code()
            fault = _FAULTS.get(code, Fault.FINAL)
            if _TOO_LARGE in (error.details() or ""):  # For the server, or something before it.
                fault = Fault.CONTENT
            raise RequestError(f"{code.name}: {error.details()}", fault) from None
        outputs = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
        return check_outputs(outputs, len(files))

    def close(self) -> None:
        self._channel.close()


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    tls.context()  # Names what is wrong with a file; gRPC would only fail to connect.
    authority, key, certificate = (
        None if path is None else pathlib.Path(path).read_bytes()
        for path in (tls.authority, tls.key, tls.certificate)
    )
    return grpc.ssl_channel_credentials(authority, key, certificate)

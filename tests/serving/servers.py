"""Small servers around a SavedModel, which answer as TensorFlow Serving does."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.server
import json
import pathlib
import queue
import ssl
import threading
import time
import types
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

VERSION, LABEL = 1, "stable"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Runner:
    """Runs `serving_default` of a SavedModel.

    Args:
      folder: the version folder.
      merge_for: seconds in which requests are merged into one batch, as a server with batching
        does; None = each runs alone.
    """

    def __init__(self, folder: Any, merge_for: Optional[float] = None) -> None:
        self._model = tf.saved_model.load(str(folder))
        self._merge_for = merge_for
        self._queue: queue.Queue = queue.Queue()
        self.batches: List[int] = []
        if merge_for is not None:
            threading.Thread(target=self._merge, daemon=True).start()

    def __call__(self, files: Sequence[bytes]) -> Dict[str, np.ndarray]:
        if self._merge_for is None:
            return self._run(files)
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._queue.put((list(files), future))
        return future.result()

    def _run(self, files: Sequence[bytes]) -> Dict[str, np.ndarray]:
        self.batches.append(len(files))
        outputs = self._model.signatures["serving_default"](image_bytes=tf.constant(list(files)))
        return {name: value.numpy() for name, value in outputs.items()}

    def _merge(self) -> None:
        while True:
            tasks = [self._queue.get()]
            time.sleep(self._merge_for)
            while not self._queue.empty():
                tasks.append(self._queue.get())
            try:
                outputs = self._run([file for files, _ in tasks for file in files])
            except Exception as error:  # The merged batch fails as a whole.
                for _, future in tasks:
                    future.set_exception(error)
                continue
            start = 0
            for files, future in tasks:
                end = start + len(files)
                future.set_result({name: value[start:end] for name, value in outputs.items()})
                start = end


class Access(NamedTuple):
    """Who may ask, and how.

    Attributes:
      certificate: files of the server's certificate and key; None = without encryption.
      client: file of the certificate that clients have to show; None = none.
      headers: every request has to have them.
      path: REST only, before `/v1`.
    """

    certificate: Optional[Tuple[str, str]] = None
    client: Optional[str] = None
    headers: Mapping[str, str] = types.MappingProxyType({})
    path: str = ""

    def credentials(self) -> grpc.ServerCredentials:
        assert self.certificate is not None
        certificate, key = (pathlib.Path(path).read_bytes() for path in self.certificate)
        client = None if self.client is None else pathlib.Path(self.client).read_bytes()
        return grpc.ssl_server_credentials(
            [(key, certificate)], client, require_client_auth=client is not None
        )

    def context(self) -> ssl.SSLContext:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        if self.client is not None:
            context.load_verify_locations(self.client)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, name: str, run: Runner, access: Access) -> None:
        self._name = name
        self._run = run
        self._access = access

    def Predict(self, request: Any, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        spec = request.model_spec
        if not dict(self._access.headers).items() <= dict(context.invocation_metadata()).items():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        if spec.name != self._name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {spec.name}")
        if spec.HasField("version") and spec.version.value != VERSION:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {spec.version.value}")
        if spec.version_label not in ("", LABEL):
            message = f"Unrecognized servable version label: {spec.version_label}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        if spec.signature_name != "serving_default":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Serving signature key not found.")
        try:
            outputs = self._run(list(tf.make_ndarray(request.inputs["image_bytes"])))
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name in request.output_filter or outputs:
            if name not in outputs:
                message = f"output tensor alias not found in signature: {name}"
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
            response.outputs[name].CopyFrom(_as_fields(outputs[name]))
        return response


def _as_fields(value: np.ndarray) -> Any:
    """As TensorFlow Serving writes it unless told otherwise: number by number, not as bytes."""
    result = tf.make_tensor_proto(value)
    if result.tensor_content:
        field = result.int_val if value.dtype == np.int32 else result.float_val
        result.tensor_content = b""
        field.extend(value.ravel().tolist())
    return result


@contextlib.contextmanager
def grpc_server(name: str, run: Runner, access: Access = Access()) -> Iterator[str]:  # noqa: B008
    """Serves a model over gRPC on the loopback; yields HOST:PORT."""
    pool = concurrent.futures.ThreadPoolExecutor(8)
    server = grpc.server(pool, options=UNLIMITED)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(name, run, access), server
    )
    if access.certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", access.credentials())
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def rest_server(name: str, run: Runner, access: Access = Access()) -> Iterator[str]:  # noqa: B008
    """Serves a model over REST on the loopback; yields HOST:PORT."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not dict(access.headers).items() <= dict(self.headers).items():
                self._answer(401, {"error": "who are you?"})
                return
            versions = ("", f"/versions/{VERSION}", f"/labels/{LABEL}")
            served = [f"{access.path}/v1/models/{name}{version}:predict" for version in versions]
            if self.path not in served:
                self._answer(404, {"error": f"Servable not found for request: {self.path}"})
                return
            files = [base64.b64decode(row["image_bytes"]["b64"]) for row in body["instances"]]
            try:
                outputs = run(files)
            except tf.errors.InvalidArgumentError as error:
                self._answer(400, {"error": error.message})
                return
            rows = [
                {output: value[index].tolist() for output, value in outputs.items()}
                for index in range(len(files))
            ]
            self._answer(200, {"predictions": rows})

        def _answer(self, status: int, content: Dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if access.certificate is not None:
        server.socket = access.context().wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

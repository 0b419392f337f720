"""Small servers around a SavedModel, which answer as TensorFlow Serving does."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.server
import json
import queue
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

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


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, name: str, run: Runner) -> None:
        self._name = name
        self._run = run

    def Predict(self, request: Any, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        spec = request.model_spec
        if spec.name != self._name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {spec.name}")
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
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response


@contextlib.contextmanager
def grpc_server(name: str, run: Runner) -> Iterator[str]:
    """Serves a model over gRPC on the loopback; yields HOST:PORT."""
    pool = concurrent.futures.ThreadPoolExecutor(8)
    server = grpc.server(pool, options=UNLIMITED)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(name, run), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def rest_server(name: str, run: Runner) -> Iterator[str]:
    """Serves a model over REST on the loopback; yields HOST:PORT."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path not in (
                f"/v1/models/{name}:predict",
                f"/v1/models/{name}/versions/1:predict",
            ):
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
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

"""TensorFlow Serving over REST: JSON with base64."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional, Sequence

import numpy as np

from kmax_tf.json_files import JsonError, parse_json
from kmax_tf.serving_client.transport import (
    INPUT,
    SIGNATURE,
    Fault,
    Outputs,
    RequestError,
    Transport,
    check_outputs,
)

MAX_ANSWER_BYTES = 2**31
"""Of the answer to a request: two maps of 1281 x 1281 for each of 64 images, as text."""

_MAX_MESSAGE_BYTES = 2**20
_BUSY = (408, 429, 500, 502, 503, 504)
_FLOATS = ("segment_score",)


class RestTransport(Transport):
    """Sends requests to the predict method of a model, without encryption.

    Args:
      address: `HOST:PORT`; TF Serving's port is 8501.
      model_name: under which the model is served.
      version: of the model; None = the newest.
      timeout: seconds until a request fails.
    """

    def __init__(
        self, address: str, *, model_name: str, version: Optional[int], timeout: float
    ) -> None:
        part = "" if version is None else f"/versions/{version}"
        name = urllib.parse.quote(model_name, safe="")
        self._url = f"http://{address}/v1/models/{name}{part}:predict"
        self._timeout = timeout
        # Straight to the server: a proxy is for the web.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(self, files: Sequence[bytes]) -> Outputs:
        instances = [{INPUT: {"b64": base64.b64encode(file).decode("ascii")}} for file in files]
        body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode("ascii")
        request = urllib.request.Request(
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise _of_status(error) from None
        except (OSError, http.client.HTTPException) as error:  # Refused, reset or timed out.
            reason = getattr(error, "reason", None) or error or type(error).__name__
            raise RequestError(f"{self._url}: {reason}", Fault.BUSY) from None
        return check_outputs(_columns(_parse(content)), len(files))

    def close(self) -> None:
        pass  # Each request has a connection of its own.


def _parse(content: bytes) -> Any:
    if len(content) > MAX_ANSWER_BYTES:
        raise RequestError(
            f"the answer has more than the {MAX_ANSWER_BYTES} bytes that are read", Fault.FINAL
        )
    try:
        return parse_json(content)
    except JsonError as error:
        raise RequestError(f"the answer cannot be read: {error}", Fault.FINAL) from None


def _of_status(error: urllib.error.HTTPError) -> RequestError:
    try:
        message = parse_json(error.read(_MAX_MESSAGE_BYTES))["error"]
    except (OSError, ValueError, KeyError, TypeError):
        message = str(error.reason)
    fault = Fault.FINAL
    if error.code == 400:
        fault = Fault.CONTENT
    elif error.code in _BUSY:
        fault = Fault.BUSY
    return RequestError(f"HTTP {error.code}: {message}", fault)


def _columns(answer: Any) -> Outputs:
    """`{"predictions": [{name: nested list}, ...]}` -> arrays; ids int32, scores float32."""
    rows = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RequestError("the answer holds no list of `predictions`", Fault.FINAL)
    try:
        return {
            name: np.asarray([row[name] for row in rows], np.float32 if name in _FLOATS else None)
            for name in (rows[0] if rows else ())
        }
    except (KeyError, ValueError):
        raise RequestError("the answer's rows have different outputs", Fault.FINAL) from None

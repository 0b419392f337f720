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

MAX_ANSWER_BYTES = 2**31
"""Of the answer to a request: two maps of 1281 x 1281 for each of 64 images, as text."""

_MAX_MESSAGE_BYTES = 2**20
_CONTENT = (400, 413)  # 413: too large for what is before the server.
_BUSY = (408, 429, 500, 502, 503, 504)
_DTYPES = {"segment_score": np.float32}


class RestTransport(Transport):
    """Sends requests to the predict method of a model.

    Args:
      address: `HOST:PORT`; TF Serving's port is 8501.
      model_name: under which the model is served.
      version: of the model; None = the newest, or that with the label.
      timeout: seconds without data until a request fails.
      label: that the server's config gives to a version, such as `stable`.
      tls: None = without encryption. TF Serving itself encrypts gRPC only; what is before it may.
      headers: sent with every request.
      path: what comes before `/v1/models` where the server is behind a proxy.

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
        path: str = "",
    ) -> None:
        part = ""
        if version is not None:
            part = f"/versions/{version}"
        elif label is not None:
            part = f"/labels/{urllib.parse.quote(label, safe='')}"
        name = urllib.parse.quote(model_name, safe="")
        scheme = "http" if tls is None else "https"
        self._url = f"{scheme}://{address}{path.rstrip('/')}/v1/models/{name}{part}:predict"
        self._timeout = timeout
        self._headers = {**dict(headers), "Content-Type": "application/json"}
        # Straight to the server: a proxy is for the web.
        handlers = [urllib.request.ProxyHandler({}), _NoRedirects()]
        if tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=tls.context()))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, files: Sequence[bytes]) -> Outputs:
        instances = [{INPUT: {"b64": base64.b64encode(file).decode("ascii")}} for file in files]
        body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode("ascii")
        request = urllib.request.Request(self._url, data=body, headers=self._headers)
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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: followed, it would lose the request and tell others the headers."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


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
    if error.code // 100 == 3:
        message += f", to {error.headers.get('Location')}"
    fault = Fault.FINAL
    if error.code in _CONTENT:
        fault = Fault.CONTENT
    elif error.code in _BUSY:
        fault = Fault.BUSY
    return RequestError(f"HTTP {error.code}: {message}", fault)


def _columns(answer: Any) -> Outputs:
    """`{"predictions": [{name: nested list}, ...]}` -> arrays of what is needed.

    REST has no filter of outputs: all that was exported arrives.
    """
    rows = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RequestError("the answer holds no list of `predictions`", Fault.FINAL)
    try:
        return {
            name: np.asarray([row[name] for row in rows], _DTYPES.get(name, np.int64))
            for name in NEEDED
            if all(name in row for row in rows)
        }
    except (ValueError, TypeError, OverflowError) as error:
        raise RequestError(
            f"the answer's rows hold other values than numbers, or differ in shape: {error}",
            Fault.FINAL,
        ) from None

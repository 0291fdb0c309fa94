"""What a client asks over REST, in TF Serving's JSON."""

import base64
import ipaddress
import json
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from keras_mtl.serving._signature import Signature, Spec
from keras_mtl.serving._told_signature import signature_of
from keras_mtl.serving._typed_errors import NotFound, error_of, error_of_http


class RestCalls:
    """The calls of one model over HTTP, each bounded in time; safe to share among threads.

    Args:
        url: Where the server listens, `http://host:port`.
        model: The model's name; None asks the server for it.
        version: One of its versions, or None for the newest.
        token: Sent as the bearer token, if there is one.
    """

    def __init__(self, url: str, model: str | None, version: int | None, token: str | None):
        try:
            import httpx
        except ImportError as error:
            raise ImportError(
                f"A client over HTTP needs httpx ({error}); install it with: pip install "
                '"keras-mtl[serve]".'
            ) from None
        headers = {"authorization": f"Bearer {token}"} if token else {}
        parts = urllib.parse.urlsplit(url)
        # A proxy of the company's cannot reach this machine's own loopback.
        self._http = httpx.Client(headers=headers, trust_env=not _loopback(parts.hostname or ""))
        self._httpx = httpx
        self._url, self._model = url.rstrip("/") + "/v1/models", model
        self._version = "" if version is None else f"/versions/{version}"

    def predict(
        self, signature: Signature, arrays: Mapping[str, np.ndarray], timeout: float
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature, by name."""
        body = json.dumps(
            {
                "signature_name": signature.name,
                "inputs": {name: _told(array) for name, array in arrays.items()},
            },
            ensure_ascii=False,
        )
        answer = self._ask("POST", ":predict", timeout, body.encode("utf-8"))
        outputs = _part(answer, "outputs")
        names = list(signature.outputs)
        if len(names) == 1 and not (isinstance(outputs, dict) and set(outputs) == set(names)):
            # The name of a single output is left out in this form.
            outputs = {names[0]: outputs}
        if not isinstance(outputs, dict) or set(outputs) != set(names):
            raise error_of("INTERNAL", f"The server answered other outputs than {names}.")
        return {name: _read(outputs[name], name, signature.outputs[name]) for name in names}

    def metadata(self, timeout: float) -> dict[str, Signature]:
        """Every signature that takes and gives tensors, by name."""
        answer = self._ask("GET", "/metadata", timeout)
        found = _part(_part(_part(answer, "metadata"), "signature_def"), "signature_def")
        read = {name: _signature(name, told) for name, told in found.items()}
        return {name: signature for name, signature in read.items() if signature is not None}

    def status(self, timeout: float) -> list[dict[str, str]]:
        """Version, state and error message of every version."""
        found = _part(self._ask("GET", "", timeout), "model_version_status")
        return [
            {
                "version": str(one["version"]),
                "state": one["state"],
                "error": one.get("status", {}).get("error_message", ""),
            }
            for one in found
        ]

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _ask(self, method: str, what: str, timeout: float, body: bytes | None = None) -> Any:
        if self._model is None:
            self._model = self._only_model(timeout)
        model = urllib.parse.quote(self._model, safe="")
        return self._json(method, f"{self._url}/{model}{self._version}{what}", timeout, body)

    def _only_model(self, timeout: float) -> str:
        try:
            return str(_part(self._json("GET", self._url, timeout), "models")[0]["name"])
        except NotFound:
            raise error_of(
                "NOT_FOUND",
                f"{self._url} does not tell the name of its model; give it as the client's `model`.",
            ) from None

    def _json(self, method: str, url: str, timeout: float, body: bytes | None = None) -> Any:
        httpx, ends = self._httpx, time.monotonic() + timeout
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            with self._http.stream(
                method, url, content=body, headers=headers, timeout=timeout
            ) as answer:
                pieces = []
                # httpx bounds every single read; a server that drips would never come to an end.
                for piece in answer.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() > ends:
                        raise httpx.ReadTimeout("the answer drips in too slowly")
        except httpx.TimeoutException:
            raise error_of(
                "DEADLINE_EXCEEDED", f"{url} did not answer within {timeout:.3g} s."
            ) from None
        except httpx.TransportError as error:
            raise error_of("UNAVAILABLE", f"{url} cannot be reached: {error}.") from error
        text = b"".join(pieces).decode("utf-8", "replace")
        if answer.status_code != 200:
            raise error_of_http(answer.status_code, text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise error_of("INTERNAL", f"{url} answered no JSON: {text[:200]!r}.") from None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _told(array: np.ndarray) -> Any:
    """An array as JSON: bytes as `{"b64": ...}`; NaN and Infinity are bare words, as TF Serving's."""
    if array.dtype.kind not in "OS":
        return array.tolist()

    def value(given: Any) -> Any:
        if isinstance(given, list):
            return [value(one) for one in given]
        if isinstance(given, bytes):
            return {"b64": base64.b64encode(given).decode()}
        return given

    return value(array.tolist())


def _part(answer: Any, key: str) -> Any:
    if not isinstance(answer, dict) or key not in answer:
        raise error_of("INTERNAL", f"The server's answer has no {key!r}; is it TF Serving's API?")
    return answer[key]


def _read(value: Any, name: str, spec: Spec) -> np.ndarray:
    """A tensor out of JSON, in its own type."""
    try:
        if spec.dtype == "string":
            return _strings(value)
        return np.asarray(value, tf.as_dtype(spec.dtype).as_numpy_dtype)
    except (ValueError, TypeError) as error:
        raise error_of(
            "INTERNAL", f"Output {name!r} is no tensor of {spec.dtype}: {error}."
        ) from None


def _strings(value: Any) -> np.ndarray:
    def read(given: Any) -> Any:
        if isinstance(given, list):
            return [read(one) for one in given]
        if isinstance(given, dict):
            return base64.b64decode(given["b64"])
        return given.encode()

    return np.array(read(value), dtype=object)


def _signature(name: str, told: Any) -> Signature | None:
    """Read as the message that it was written from, so that both protocols are told alike."""
    try:
        message = json_format.ParseDict(
            told, meta_graph_pb2.SignatureDef(), ignore_unknown_fields=True
        )
    except json_format.ParseError as error:
        raise error_of("INTERNAL", f"Signature {name!r} cannot be read: {error}.") from None
    return signature_of(name, message)

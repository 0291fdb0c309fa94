"""A client of a served model: numpy in and out, over REST or gRPC, of this server or TF Serving."""

import itertools
import random
import urllib.parse
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from keras_mtl.serving._rest_calls import RestCalls
from keras_mtl.serving._rpc_calls import RpcCalls
from keras_mtl.serving._signature import Signature, Spec
from keras_mtl.serving._typed_errors import BadRequest, Unavailable, error_of

_T = TypeVar("_T")
_SCHEMES = ("http", "https", "grpc", "grpcs")
# Seconds before the first retry and before the last ones; each is shortened by chance, so that
# clients that were turned away together do not come back together.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0


class Client:
    """Asks a served model, as if it were a function of arrays.

    `client.predict({"tokens": [["play", "jazz"]]})["intent"]` is what `model.predict` would give.
    Where the server is not there, or says UNAVAILABLE (503), the request is sent again after about
    0.1, 0.2, 0.4, ... seconds; a request that was refused is not. A client may be shared among
    threads, and keeps its connections: close it, or use it in a `with`.

    Args:
        url: `http://host:8501` for REST or `grpc://host:8500`; `https` and `grpcs` over TLS.
        model: The name under which the model is served. None asks the server, which `keras-mtl
            serve` answers and TF Serving does not.
        version: One of its versions, or None for the newest.
        token: What the server was started with as `--token`. Over `http` and `grpc` it is readable
            on the wire.
        timeout: Seconds that a call may take in all, retries and waits included.
        retries: How many times a request is sent again.

    Raises:
        ValueError: If the URL is none of these, or a number is out of range.
        ImportError: If the extra `serve` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        version: int | None = None,
        token: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
    ):
        self.url = url
        self.model = model
        self.version = version
        self.timeout = timeout
        self.retries = retries
        scheme = _checked(url, token, timeout, retries)
        self._calls: RestCalls | RpcCalls
        if scheme in ("http", "https"):
            self._calls = RestCalls(url, model, version, token)
        else:
            address = urllib.parse.urlsplit(url).netloc
            self._calls = RpcCalls(address, scheme == "grpcs", model, version, token)
        self._signatures: dict[str, Signature] = {}

    def predict(self, inputs: Any, signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Every output of a signature for some rows.

        Numbers are brought to the types of the signature where nothing is lost by it, so that
        Python's lists and float64 arrays will do.

        Args:
            inputs: An array by input name, or one array where the signature has one input.
            signature: Which signature; `serving_labels` gives names of classes, for instance.

        Returns:
            An array by output name: numbers in the model's own type; texts as `str`, or as `bytes`
            where one of them is no UTF-8.

        Raises:
            BadRequest: If the server cannot answer it as it is, as with a signature that is not there.
            NotFound: If there is no such model or version.
            Unauthenticated: If the server asks for a token, or another one.
            Unavailable: If there was no server after the last retry.
            DeadlineExceeded: If there was no answer within `timeout`.
            ServingError: Of any other code; the base of all of these.
            ValueError: If one array came and the signature takes several, or something is no array.
        """
        ends = monotonic() + self.timeout
        told = self._signature(signature, ends)
        arrays = {
            name: _fitted(_array(name, value), told.inputs.get(name))
            for name, value in _named(inputs, told).items()
        }
        try:
            outputs = self._retried(lambda left: self._calls.predict(told, arrays, left), ends)
        except Exception:
            # Perhaps a version with other signatures has come: the next call asks for them again.
            self._signatures = {}
            raise
        return {name: _as_text(outputs[name]) for name in sorted(outputs)}

    def metadata(self) -> dict[str, Signature]:
        """Every signature by name: `.inputs` and `.outputs`, with the dtype and shape of each."""
        return self._metadata(monotonic() + self.timeout)

    def status(self) -> list[dict[str, str]]:
        """For every version its number, its state ("AVAILABLE", "LOADING", ...) and its error."""
        return self._retried(self._calls.status, monotonic() + self.timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._calls.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _metadata(self, ends: float) -> dict[str, Signature]:
        self._signatures = self._retried(self._calls.metadata, ends)
        return dict(self._signatures)

    def _signature(self, name: str, ends: float) -> Signature:
        known = self._signatures
        if name not in known:
            known = self._metadata(ends)
        if name not in known:
            raise BadRequest(
                "FAILED_PRECONDITION",
                f"There is no signature {name!r}; the model has {sorted(known)}.",
            )
        return known[name]

    def _retried(self, call: Callable[[float], _T], ends: float) -> _T:
        for attempt in itertools.count():
            left = ends - monotonic()
            if left <= 0:
                raise error_of(
                    "DEADLINE_EXCEEDED", f"{self.url} did not answer within {self.timeout:g} s."
                )
            try:
                return call(left)
            except Unavailable:
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1)
                if attempt >= self.retries or monotonic() + wait >= ends:
                    raise
            sleep(wait)
        raise AssertionError("counting does not end")


def _checked(url: str, token: str | None, timeout: float, retries: int) -> str:
    parts = urllib.parse.urlsplit(str(url))
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(
            f"`url` of a Client is {url!r}; expected http://host:8501 or grpc://host:8500 (https and "
            "grpcs over TLS)."
        )
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ValueError("`token` of a Client is no line of printable ASCII.")
    if not timeout > 0 or retries < 0:
        raise ValueError(
            f"A Client came with timeout={timeout} and retries={retries}; expected a positive time "
            "and no negative number."
        )
    return parts.scheme


def _named(inputs: Any, signature: Signature) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if len(signature.inputs) != 1:
        raise ValueError(
            f"One array came, but signature {signature.name!r} takes {sorted(signature.inputs)}; "
            "give a dict of them."
        )
    return {next(iter(signature.inputs)): inputs}


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"Input {name!r} is no array: its rows differ in length; pad them, texts with ''."
        ) from None
    if array.dtype.kind == "O" and not all(isinstance(v, (str, bytes)) for v in array.ravel()):
        raise ValueError(f"Input {name!r} is no array of numbers or of strings.")
    return array


def _fitted(array: np.ndarray, spec: Spec | None) -> np.ndarray:
    """In the type of the signature; as it is where that would change it, for the server to refuse."""
    if spec is None or spec.dtype == "string" or array.dtype.kind not in "biuf":
        return array
    wanted = np.dtype(tf.as_dtype(spec.dtype).as_numpy_dtype)
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    whole = wanted.kind in "iu"
    return array if whole and not np.array_equal(cast, array) else cast


def _as_text(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "OS":
        return array
    try:
        return np.array([one.decode() for one in array.ravel()], dtype=str).reshape(array.shape)
    except UnicodeDecodeError:
        return array

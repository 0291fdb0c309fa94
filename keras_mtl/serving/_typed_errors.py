"""A server's refusals as a caller of Python catches them: one class for each thing one can do."""

import json

from keras_mtl.serving._errors import HTTP_STATUS, ServingError


class BadRequest(ServingError):
    """The request can never be answered as it is: wrong names, shapes, types, signature, or too large."""


class NotFound(ServingError):
    """No such model or version is served."""


class Unauthenticated(ServingError):
    """The server asks for a token, or for another one."""


class Unavailable(ServingError):
    """Nobody is there, or not ready: the same request may be answered later."""


class DeadlineExceeded(ServingError):
    """The answer took longer than the caller would wait."""


_CLASSES = {
    "INVALID_ARGUMENT": BadRequest,
    "FAILED_PRECONDITION": BadRequest,
    "NOT_FOUND": NotFound,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}
# What a status of HTTP means, where it is not one that a code is turned into.
_CODES = {
    **{status: code for code, status in reversed(HTTP_STATUS.items())},
    400: "INVALID_ARGUMENT",
    403: "UNAUTHENTICATED",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    502: "UNAVAILABLE",
}


def error_of(code: str, message: str, http_status: int | None = None) -> ServingError:
    """The error of a gRPC status; a code that is not known here is the server's own fault.

    >>> error_of("NOT_FOUND", "no such model")
    NotFound('no such model')
    """
    known = {"PERMISSION_DENIED": "UNAUTHENTICATED"}.get(code, code)
    known = known if known in HTTP_STATUS else "INTERNAL"
    return _CLASSES.get(known, ServingError)(known, message, http_status)


def error_of_http(status: int, body: str) -> ServingError:
    """The error of an answer of HTTP, with the server's own words where it has some.

    >>> error_of_http(400, '{"error": "no input called x"}')
    BadRequest('no input called x')
    """
    code = _CODES.get(status, "INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL")
    try:
        message = str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        # A proxy on the way, or no server of models at all.
        message = f"HTTP {status}: {body.strip()[:200]}"
    return error_of(code, message, status)

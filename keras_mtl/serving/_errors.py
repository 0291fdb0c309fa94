"""What a server answers when it cannot answer: one code for both protocols, one sentence for people."""

# The codes of gRPC that are used here, and the HTTP status that TF Serving gives for each.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_LONGEST = 1000


class ServingError(Exception):
    """A request that was not answered, and why.

    Args:
        code: A gRPC status name, such as `"INVALID_ARGUMENT"`; one of `HTTP_STATUS`.
        message: One sentence for the person who sent the request.
        http_status: The HTTP status, where it is another than the code's (413 for a body that is
            too large, 405 for a method that a path does not take).
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        # It may repeat names of the request, which can be of any length.
        message = message if len(message) <= _LONGEST else message[: _LONGEST - 3] + "..."
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = HTTP_STATUS[code] if http_status is None else http_status


def invalid(message: str) -> ServingError:
    """The error of a request that can never be answered as it is."""
    return ServingError("INVALID_ARGUMENT", message)

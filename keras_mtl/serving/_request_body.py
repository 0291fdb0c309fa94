"""Bodies of requests, read within bounds: of one, and of all that are under way."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from keras_mtl.serving._errors import ServingError

# Of all bodies together, in bodies of the largest size.
_AT_ONCE = 4
# A body that is too large is read to its end and thrown away, so that its sender hears why; but not
# without end.
_PATIENCE = 8


class Bodies:
    """Reads bodies and counts what is held of them, all on one event loop.

    Args:
        limit: Bytes of the largest body that is taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Any) -> AsyncIterator[bytes]:
        """A request's body, held until the block ends.

        Raises:
            ServingError: Status 413 if it is too large; UNAVAILABLE while too much is held.
        """
        body = bytearray()
        try:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size <= self.limit and self._held + len(chunk) <= _AT_ONCE * self.limit:
                    body += chunk
                    self._held += len(chunk)
                elif size > _PATIENCE * self.limit:
                    break
            if size > self.limit:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"The body has more than {self.limit} bytes; send fewer rows a request.",
                    413,
                )
            if size > len(body):
                raise ServingError("UNAVAILABLE", "Too many large requests are under way.")
            yield bytes(body)
        finally:
            self._held -= len(body)

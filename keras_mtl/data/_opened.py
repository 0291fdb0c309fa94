"""Files of text, gzipped or not, whose damage is told by their name."""

import contextlib
import gzip
import io
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any, TextIO

# What a gzipped file may unpack to: so many times its size, and this much in any case.
_TIMES, _ALWAYS = 200, 64 * 2**20


@contextlib.contextmanager
def opened(path: Any, what: str, *, newline: str | None = None) -> Iterator[TextIO]:
    """A text file in UTF-8, with or without a byte order mark; `.gz` is unpacked on the way.

    Args:
        path: The file.
        what: What it should be, for the message: "a CSV file".
        newline: As of `open`.

    Raises:
        ValueError: If it is not UTF-8, its packing is damaged, or it unpacks to out of all proportion.
        OSError: If it cannot be opened.
    """
    path = pathlib.Path(path)
    try:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(open(path, "rb"))
            if path.suffix == ".gz":
                limit = max(_ALWAYS, _TIMES * os.fstat(file.fileno()).st_size)
                file = io.BufferedReader(_Bounded(stack.enter_context(gzip.open(file)), limit))
            yield stack.enter_context(io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline))
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as {what}: {error}.") from None


class _Bounded(io.RawIOBase):
    """What a stream gives, up to a number of bytes that no honest one comes near."""

    def __init__(self, stream: Any, limit: int):
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(len(buffer))
        self._left -= len(found)
        if self._left < 0:
            raise EOFError("it unpacks to more than 200 times its size; unpack it if you trust it")
        buffer[: len(found)] = found
        return len(found)

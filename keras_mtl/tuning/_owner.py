"""Which process a running trial belongs to, and whether that process is still there."""

import logging
import os
import pathlib
import platform
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger("keras_mtl")

# Seconds between signs of life, and after how many without one a process counts as gone.
BEAT = 20.0
GRACE = 180.0


def this_process() -> dict[str, Any]:
    """The name of this process that other machines can read."""
    # Containers of one host name count their processes apart.
    space = pathlib.Path("/proc/self/ns/pid")
    host = platform.node() + (f"/{os.readlink(space)}" if space.is_symlink() else "")
    return {"host": host, "pid": os.getpid()}


def is_gone(owner: Mapping[str, Any] | None, last_sign: float, now: float) -> bool:
    """Whether the process that a trial belongs to has ended.

    Args:
        owner: What `this_process` said there; None if it did not get so far.
        last_sign: When it last gave a sign of life, in seconds since 1970.
        now: The time, alike.
    """
    here = this_process()
    if owner and owner["host"] == here["host"] and os.name == "posix":
        if owner["pid"] == here["pid"]:
            return False
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    return now - last_sign > GRACE


class SignsOfLife:
    """While it is entered, a thread tells every `BEAT` seconds that this process is there."""

    def __init__(self, tell: Callable[[float], None], failures: tuple[type[Exception], ...]):
        self._tell = tell
        self._failures = failures
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "SignsOfLife":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._tell(time.time())
            except self._failures as error:
                # The next one may get through; GRACE is as long as several.
                logger.warning("A sign of life did not reach the study: %s", error)

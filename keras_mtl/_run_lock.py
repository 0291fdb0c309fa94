"""One process at a time trains into a run's folder; the lock of one that was killed is gone with it."""

import os
import pathlib
from typing import Any

_NAME = ".lock"
# The locks of this process by folder: it may begin a run again that an error has broken off.
_HELD: dict[pathlib.Path, int] = {}


def take_lock(folder: pathlib.Path) -> None:
    """Takes the lock of a folder that is there, where the system has such locks (POSIX).

    Raises:
        ValueError: If another process has it.
        OSError: If the folder cannot be written.
    """
    place = folder.resolve()
    if os.name != "posix" or place in _HELD:
        return
    import fcntl

    descriptor = os.open(place / _NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ValueError(
            f"Another process trains in {str(folder)!r} now; wait for it, end it, or name another "
            "folder."
        ) from None
    _HELD[place] = descriptor


def give_lock_back(folder: pathlib.Path) -> None:
    """Gives the lock back, if this process has it."""
    descriptor = _HELD.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def is_locked(folder: Any) -> bool | None:
    """Whether a process trains in a run's folder now; None where the system cannot tell."""
    place = pathlib.Path(folder).resolve()
    if os.name != "posix":
        return None
    import fcntl

    try:
        descriptor = os.open(place / _NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

"""Numbered version folders: each appears at once and whole, whoever else writes beside it."""

import contextlib
import os
import pathlib
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

_WAITING = ".exporting-"
_HOST = platform.node().replace(os.sep, "_") or "host"
_A_DAY = 24 * 60 * 60


def versions(folder: Any) -> list[int]:
    """The versions that a folder holds, in their order.

    Raises:
        OSError: If the folder cannot be read.
    """
    return sorted(
        int(p.name) for p in _numbered(folder) if p.is_dir() and p.name == str(int(p.name))
    )


def write_version(
    folder: Any, write: Callable[[pathlib.Path], None], keep: int | None = None
) -> pathlib.Path:
    """Has a version written under a hidden name beside the others, then renames it to its number.

    Args:
        folder: The folder of the versions; made if it is not there.
        write: Called with the path, not there yet, that it has to write a folder at.
        keep: How many versions to keep, the newest ones; None keeps all.

    Returns:
        The folder of the new version.

    Raises:
        OSError: If `folder` cannot be written. Whatever `write` raises is passed on; no version
            and nothing half-written is left by either.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        prefix = f"{_WAITING}{os.getpid()}-{_HOST}-"
        waiting = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    except OSError as error:
        raise OSError(
            f"The model cannot be exported to {str(folder)!r}: {error}; choose a folder that can be "
            "written."
        ) from None
    try:
        write(waiting / "model")
        version = _claim(waiting / "model", folder)
        for old in versions(folder)[:-keep] if keep is not None else []:
            # Out of sight first: a server must never see a version that is half removed. Another
            # writer may be removing the same one.
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder / str(old), waiting / str(old))
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return version


def _numbered(folder: Any) -> list[pathlib.Path]:
    return [p for p in pathlib.Path(folder).iterdir() if p.name.isascii() and p.name.isdigit()]


def _claim(written: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Renames a finished export to the next free number; another writer may be doing the same."""
    while True:
        # A number is taken whatever it is: a file, a link, or "007".
        version = folder / str(max((int(p.name) for p in _numbered(folder)), default=0) + 1)
        try:
            os.rename(written, version)
            return version
        except OSError:
            if not version.exists():
                raise


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Removes what an export left that was killed."""
    for left in folder.glob(f"{_WAITING}*"):
        pid, _, rest = left.name[len(_WAITING) :].partition("-")
        here = pid.isdigit() and rest.startswith(f"{_HOST}-")
        with contextlib.suppress(FileNotFoundError):
            # Of another machine's export only its age can be known.
            old = time.time() - left.stat().st_mtime > _A_DAY
            if old or (here and not _runs(int(pid))):
                shutil.rmtree(left, ignore_errors=True)


def _runs(pid: int) -> bool:
    if os.name == "nt":
        # There, signal 0 is Ctrl-C and not a question.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

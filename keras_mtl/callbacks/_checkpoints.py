"""The checkpoints of a run: written whole, the last two kept, a damaged one noticed and passed over.

A checkpoint is an `.npz` file of arrays, with the digest of its bytes in its name:
`epoch-00003.0123456789abcdef.npz`. It is read without pickle, so that no code runs.
"""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mtl._run_files import sync_folder

_NAME = re.compile(r"epoch-(\d+)\.([0-9a-f]{16})\.npz")
_STATE = "state"
_KEPT = 2

logger = logging.getLogger("keras_mtl")


class Checkpoint(NamedTuple):
    """What a run is after an epoch.

    Attributes:
        state: What JSON can hold.
        arrays: What `state` refers to by position.
    """

    state: dict[str, Any]
    arrays: list[np.ndarray]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: Made at the first checkpoint.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None; those that are not are warned of."""
        found = self._files()
        for epoch, path in reversed(found):
            try:
                return _read(path)
            except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
                logger.warning(
                    "The checkpoint %s of %d epochs is damaged (%s) and passed over.", path, epoch,
                    error,
                )  # fmt: skip
        if found:
            logger.warning("No checkpoint in %s is whole; the run begins anew.", self.folder)
        return None

    def write(self, epochs: int, checkpoint: Checkpoint) -> pathlib.Path:
        """Writes the checkpoint of so many epochs, whole or not at all, and drops the oldest.

        Raises:
            OSError: If it cannot be written; it tells the file, and what is kept.
        """
        waiting = self.folder / f".epoch-{epochs:05d}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(waiting, "wb") as file:
                _write(file, checkpoint)
                file.flush()
                os.fsync(file.fileno())
            path = self.folder / f"epoch-{epochs:05d}.{_digest(waiting)}.npz"
            os.replace(waiting, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                waiting.unlink(missing_ok=True)
            good = self._files()
            kept = (
                f"the checkpoint of {good[-1][0]} epochs is kept, and the run goes on from it"
                if good
                else "there was none before it, and the run begins anew"
            )
            raise OSError(
                error.errno,
                f"The checkpoint of {epochs} epochs could not be written to {self.folder} "
                f"({error.strerror}); {kept} when it is started again: free some space.",
            ) from None
        sync_folder(self.folder)
        others = [(known, other) for known, other in self._files() if other != path]
        # What is not older is of a run that has gone back to before it.
        older = [other for known, other in others if known < epochs]
        for _, other in others:
            if other not in older[1 - _KEPT :]:
                other.unlink(missing_ok=True)
        return path

    def clear(self) -> None:
        """Removes all checkpoints, and what a run that was killed has left of one."""
        for path in self._files_and_halves():
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def clear_halves(self) -> None:
        """Removes what a run that was killed has left of a checkpoint that it was writing."""
        for path in self._files_and_halves():
            if not _NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[int, pathlib.Path]]:
        if not self.folder.is_dir():
            return []
        matches = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in matches if match)

    def _files_and_halves(self) -> list[pathlib.Path]:
        if not self.folder.is_dir():
            return []
        return [
            path
            for path in self.folder.iterdir()
            if _NAME.fullmatch(path.name) or path.name.startswith(".epoch-")
        ]


def _write(file: Any, checkpoint: Checkpoint) -> None:
    state = np.frombuffer(json.dumps(checkpoint.state).encode(), "uint8")
    entries = [(_STATE, state), *((str(i), array) for i, array in enumerate(checkpoint.arrays))]
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in entries:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read(path: pathlib.Path) -> Checkpoint:
    match = _NAME.fullmatch(path.name)
    if match is None or _digest(path) != match[2]:
        raise ValueError("its bytes are not those that were written")
    with np.load(path, allow_pickle=False) as stored:
        state = json.loads(stored[_STATE].tobytes())
        arrays: Sequence[np.ndarray] = [stored[str(i)] for i in range(len(stored.files) - 1)]
    return Checkpoint(state, list(arrays))


def _digest(path: pathlib.Path) -> str:
    made = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            made.update(block)
    return made.hexdigest()[:16]

"""A folder of versions, of which the newest that can be run is served."""

import contextlib
import logging
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._servable import Servable

log = logging.getLogger(__name__)


class Repository:
    """Serves the newest version of a folder, and follows what happens there.

    A new version is loaded and warmed up beside the one that serves, then takes its place at once;
    requests under way end with the version that they began with, which is closed after the last of
    them. A version that cannot be run is reported in `status`, tried again when its files change,
    and the one before goes on serving. A version whose folder is gone is closed, unless there is
    only a broken one to take its place.

    Args:
        folder: The folder of the versions, each in a folder named by its number; other names are
            passed over.
        name: What requests call the model; the folder's name by default.
        poll: Seconds between two looks into the folder.

    Attributes:
        folder: The folder.
        name: The model's name.

    Raises:
        ValueError: If `folder` is no folder, or is itself a version.
    """

    def __init__(self, folder: Any, name: str | None = None, poll: float = 1.0) -> None:
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise ValueError(
                f"`folder` is {str(folder)!r}, which is no folder; expected the folder of a model's "
                "versions, as export.saved_model writes it."
            )
        if (self.folder / "saved_model.pb").exists():
            raise ValueError(
                f"`folder` is {str(folder)!r}, which is one version; expected the folder that holds "
                f"it: {str(self.folder.resolve().parent)!r}."
            )
        self.name = name or self.folder.resolve().name
        self._lock = threading.Lock()
        self._current: _InUse | None = None
        self._retired: list[_InUse] = []
        self._loading: int | None = None
        # Of each version that failed, the files that it failed with and why.
        self._failed: dict[int, tuple[Any, str]] = {}
        self._closed = threading.Event()
        self.look()
        self._poller = threading.Thread(
            target=self._follow, args=(poll,), name="keras-mtl-versions", daemon=True
        )
        self._poller.start()

    @contextlib.contextmanager
    def use(self, version: int | None = None) -> Iterator[Servable]:
        """The version that serves; it stays open until the block ends.

        Raises:
            ServingError: NOT_FOUND, if there is none, or it is another than the one asked for.
        """
        with self._lock:
            held = self._current
            if held is None or version not in (None, held.servable.version):
                which = "no version that is ready" if version is None else f"no version {version}"
                has = f"; it serves version {held.servable.version}" if held else ""
                raise ServingError("NOT_FOUND", f"Model {self.name!r} has {which}{has}.")
            held.users += 1
        try:
            yield held.servable
        finally:
            with self._lock:
                held.users -= 1
            self._close_unused()

    def check_name(self, name: str) -> None:
        """Raises a NOT_FOUND ServingError if a request means another model; no name means this one."""
        if name not in ("", self.name):
            raise ServingError(
                "NOT_FOUND", f"There is no model {name[:100]!r}; this server has {self.name!r}."
            )

    def status(self, version: int | None = None) -> list[dict[str, str]]:
        """For each version that is known, newest first: `version`, `state` and `error`.

        Raises:
            ServingError: NOT_FOUND, if `version` is given and not known.
        """
        with self._lock:
            states = {number: ("END", why) for number, (_, why) in self._failed.items()}
            states |= {held.servable.version: ("UNLOADING", "") for held in self._retired}
            if self._loading is not None:
                states[self._loading] = ("LOADING", "")
            if self._current is not None:
                states[self._current.servable.version] = ("AVAILABLE", "")
        if version is not None and version not in states:
            raise ServingError("NOT_FOUND", f"Model {self.name!r} has no version {version}.")
        return [
            {"version": str(number), "state": state, "error": error}
            for number, (state, error) in sorted(states.items(), reverse=True)
            if version in (None, number)
        ]

    @property
    def ready(self) -> bool:
        """Whether there is a version that answers."""
        return self._current is not None

    def look(self) -> None:
        """Looks into the folder once: loads what is new, lets go of what is gone."""
        found = self._found()
        serving = self._current.servable.version if self._current else None
        self._failed = {number: why for number, why in self._failed.items() if number in found}
        for number in sorted(found, reverse=True):
            if number == serving:
                return
            # An older one comes in only where the one that serves is gone.
            if serving is None or number > serving or serving not in found:
                loaded = self._loaded(number)
                if loaded is not None:
                    self._swap(_InUse(loaded))
                    return
        if not found and serving is not None:
            log.warning("Model %r: no version is left in %s", self.name, self.folder)
            self._swap(None)

    def close(self) -> None:
        """Stops looking and closes the version that serves, after the last request that uses it."""
        self._closed.set()
        self._poller.join()
        self._swap(None)

    def _follow(self, poll: float) -> None:
        while not self._closed.wait(poll):
            try:
                self.look()
            # The folder may be on a disk that is away for a while.
            except OSError as error:
                log.warning("Model %r: %s cannot be read: %s", self.name, self.folder, error)

    def _found(self) -> dict[int, pathlib.Path]:
        return {
            int(path.name): path
            for path in self.folder.iterdir()
            if path.name.isascii() and path.name.isdecimal() and path.is_dir()
        }

    def _loaded(self, number: int) -> Servable | None:
        path = self._found().get(number)
        if path is None:
            return None
        files = _files(path)
        if number in self._failed and self._failed[number][0] == files:
            return None
        self._loading = number
        servable = None
        try:
            servable = Servable(path)
            servable.warm_up()
        except ServingError as error:
            if servable is not None:
                servable.close()
            with self._lock:
                self._failed[number] = (files, error.message)
            log.error("Model %r, version %d: %s", self.name, number, error.message)
            return None
        finally:
            self._loading = None
        with self._lock:
            self._failed.pop(number, None)
        return servable

    def _swap(self, new: "_InUse | None") -> None:
        with self._lock:
            old, self._current = self._current, new
            if old is not None:
                self._retired.append(old)
        if new is not None:
            log.info("Model %r: serving version %d", self.name, new.servable.version)
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._retired:
            return
        with self._lock:
            unused = [held for held in self._retired if not held.users]
            self._retired = [held for held in self._retired if held.users]
        for held in unused:
            held.servable.close()


class _InUse:
    """A version and how many requests hold it."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self.users = 0


def _files(path: pathlib.Path) -> Any:
    """What changes when a file of a version does."""
    found = []
    for file in sorted(path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            stat = file.stat()
            found.append((str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns))
    return found

"""The folder of a run: which files are in it, how they are written whole, how they are read back."""

import contextlib
import dataclasses
import json
import logging
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

FORMAT = 1
STATUSES = ("running", "finished", "failed", "stopped")
ABOUT, CONFIG, HISTORY, SCORES = "run.json", "config.yaml", "history.json", "scores.json"
MODEL, CHECKPOINTS, LOGS, REPORT = "model.keras", "checkpoints", "logs", "report.json"

logger = logging.getLogger("keras_mtl")


@dataclasses.dataclass(frozen=True)
class Run:
    """What is kept of a run.

    Attributes:
        path: Its folder.
        about: `run.json`: status, versions, seed, data, model.
        history: Keras's history, with the epochs under "epoch"; NaN where a value was not finite.
        scores: What `keras_mtl.evaluate` said of the test rows, as `Report.to_dict()`, or None.
    """

    path: pathlib.Path
    about: dict[str, Any]
    history: dict[str, list[Any]]
    scores: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.about.get("name") or self.path.name)

    @property
    def status(self) -> str:
        """One of "running", "finished", "failed" and "stopped"."""
        return str(self.about["status"])

    @property
    def config_file(self) -> pathlib.Path | None:
        """The run's configuration, or None."""
        return self._there(CONFIG)

    @property
    def model_file(self) -> pathlib.Path | None:
        """The model at the end, or None."""
        return self._there(MODEL)

    @property
    def logs(self) -> pathlib.Path | None:
        """The folder of TensorBoard's logs, or None."""
        return self._there(LOGS)

    def _there(self, name: str) -> pathlib.Path | None:
        path = self.path / name
        return path if path.exists() else None


def read_run(path: Any) -> Run:
    """Reads a run's folder back.

    Raises:
        ValueError: If it is no run's folder, or one of its files is damaged.
    """
    path = pathlib.Path(path)
    if not (path / ABOUT).is_file():
        raise ValueError(
            f"{str(path)!r} is not the folder of a run: it has no {ABOUT}; name one that "
            "`keras-mtl train --run` or callbacks.RunFolder made."
        )
    about = _read_object(
        path / ABOUT, f"the run cannot be told of without it: delete {str(path)!r}"
    )
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path / ABOUT} is of format {about.get('format')!r}, but this version reads format "
            f"{FORMAT}; read it with the version that wrote it."
        )
    if about.get("status") not in STATUSES:
        raise ValueError(
            f"{path / ABOUT} tells the status {about.get('status')!r}; expected one of "
            f"{', '.join(STATUSES)}: correct it."
        )
    history: dict[str, Any] = {"epoch": []}
    if (path / HISTORY).is_file():
        history = _read_object(path / HISTORY, "delete it; the run is told of without its curves")
        wrong = [key for key, values in history.items() if not isinstance(values, list)]
        if wrong or "epoch" not in history:
            raise ValueError(
                f"{path / HISTORY} holds {wrong[0] if wrong else 'no epoch'!r} where a list of values "
                "of each key, and one of the epochs, was expected; delete it."
            )
    scores = None
    if (path / SCORES).is_file():
        scores = _read_object(path / SCORES, "delete it and judge the model again")
    return Run(path, about, _with_nan(history), scores)


def list_runs(folder: Any) -> list[Run]:
    """The runs whose folders are in `folder`, oldest first; damaged ones are warned of, left out.

    Raises:
        ValueError: If there is no such folder.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"There is no folder {str(folder)!r} of runs; `keras-mtl train CONFIG --run "
            f"{folder / 'NAME'}` makes one."
        )
    runs = []
    for path in sorted(folder.iterdir()):
        if not (path / ABOUT).is_file():
            continue
        try:
            runs.append(read_run(path))
        except (ValueError, OSError) as error:
            logger.warning("A run is left out: %s", error)
    return sorted(runs, key=lambda run: str(run.about.get("created", "")))


def write_bytes(path: Any, content: bytes) -> pathlib.Path:
    """Writes a file, whole or not at all: what was there stays until the new one is on the disk.

    Raises:
        OSError: If it cannot be written; it tells the file and why.
    """
    path = pathlib.Path(path)
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(waiting, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            waiting.unlink(missing_ok=True)
        kept = "the one before is kept" if path.exists() else "nothing is left of it"
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}), {kept}; free some space or change "
            "what is allowed, and start again.",
        ) from None
    sync_folder(path.parent)
    return path


def write_text(path: Any, text: str) -> pathlib.Path:
    """Writes a text file, whole or not at all; see `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Any, content: Any) -> pathlib.Path:
    """Writes a JSON file, whole or not at all; what is not finite is null, which every reader takes."""
    text = json.dumps(_without_nan(content), indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def sync_folder(folder: pathlib.Path) -> None:
    """Has the names of a folder on the disk, so that they are there after a power cut, too."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_object(path: pathlib.Path, mend: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {mend}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged (it holds no JSON object); {mend}.")
    return content


def _with_nan(history: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        key: [math.nan if value is None else value for value in values]
        for key, values in history.items()
    }


def _without_nan(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return content

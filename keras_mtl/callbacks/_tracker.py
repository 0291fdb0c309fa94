"""What trackers of experiments have in common: what they are told, and when."""

import abc
import logging
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_mtl._closing import Closing
from keras_mtl.callbacks._curves import Curves
from keras_mtl.callbacks._run_record import model_record, versions

logger = logging.getLogger("keras_mtl")

MODEL = "model"


class Tracker(Closing, abc.ABC):
    """Tells a tracker of experiments what a model is, how it learns, and what came of it.

    After each epoch: `loss`, `<task>/<metric>`, the same of validation under `val/`,
    `<task>/loss_weight` (alpha), `learning_rate`, and what the balancer has seen, as in TensorBoard.

    Args:
        config: What else is kept of the run: a dict, such as its configuration.
        artifacts: What is kept at the end: "model" is the model as `model.keras`, everything else
            the path of a file or a folder.

    Raises:
        TypeError: If `config` is not a dict, or `artifacts` is a single string.
    """

    def __init__(self, config: Mapping[str, Any] | None, artifacts: Sequence[Any]):
        super().__init__()
        name = type(self).__name__
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"{name} takes a dict as `config`, but came with {config!r}.")
        if isinstance(artifacts, (str, pathlib.Path)):
            raise TypeError(
                f"{name} takes a list as `artifacts`, but came with {artifacts!r}; write "
                f"artifacts=[{str(artifacts)!r}]."
            )
        self.config = dict(config or {})
        self.artifacts = tuple(artifacts)
        self._running = False

    @abc.abstractmethod
    def begin(self, config: dict[str, Any]) -> None:
        """Begins a run, or takes the one that is there, and keeps what is told of it."""

    @abc.abstractmethod
    def record(self, scalars: dict[str, float], epoch: int) -> None:
        """Keeps the numbers of an epoch."""

    @abc.abstractmethod
    def keep(self, path: pathlib.Path) -> None:
        """Keeps a file or a folder."""

    @abc.abstractmethod
    def end(self, error: BaseException | None) -> None:
        """Ends the run, if it was begun here; with the error that training was left by, if any."""

    def on_train_begin(self, logs: Any = None) -> None:
        record = model_record(self.model)
        training = {key: self.params.get(key) for key in ("epochs", "steps")}
        self.begin({"model": record, "training": training, "versions": versions(), **self.config})
        self._running = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        curves = Curves(self.model)
        trained, validated = curves.split(logs or {})
        validation = {f"val/{tag}": value for tag, value in validated.items()}
        self.record({**trained, **validation, **curves.weighing()}, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        try:
            for told in self.artifacts:
                self._keep(told)
        except BaseException as error:
            self.on_failure(error)
            raise
        self._running = False
        self.end(None)

    def on_failure(self, error: BaseException) -> None:
        """Ends the run as one that failed, or that the user broke off."""
        if self._running:
            self._running = False
            self.end(error)

    def _keep(self, told: Any) -> None:
        if told != MODEL:
            path = pathlib.Path(told)
            if not path.exists():
                # The rest of the run is worth keeping all the same.
                logger.warning("%s is not there, so that it cannot be kept with the run.", path)
                return
            self.keep(path)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.keras"
            self.model.save(path)
            self.keep(path)


def flat(told: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What nested dicts hold, under dotted keys.

    >>> dict(flat({"model": {"name": "m", "loss_weights": {"a": 1.0}}}))
    {'model.name': 'm', 'model.loss_weights.a': 1.0}
    """
    for key, value in told.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""A run that is kept together in one folder, and goes on where it was when it is killed."""

import logging
import os
import pathlib
import re
import shutil
import time
from typing import Any

from keras_mtl import _run_files as files
from keras_mtl._closing import Closing
from keras_mtl._epochs import EpochClock
from keras_mtl._run_lock import give_lock_back, take_lock
from keras_mtl.callbacks import _plain_state as plain
from keras_mtl.callbacks._checkpoints import Checkpoint, Checkpoints
from keras_mtl.callbacks._run_identity import configuration, refuse_another
from keras_mtl.callbacks._run_record import command, model_record, now, versions
from keras_mtl.callbacks._training_state import assign_draws, assign_values, draws, values_of
from keras_mtl.data._fingerprint import described, fingerprint, parts_of

logger = logging.getLogger("keras_mtl")


class RunFolder(Closing):
    """Keeps a run in one folder, and goes on with it, to the same end, if it was broken off.

    In the folder are `run.json` (status, versions, seed, a fingerprint of the data, the model),
    `config.yaml`, `history.json`, `checkpoints/`, and at the end `model.keras`; every file is written
    whole or not at all. `keras-mtl runs` lists and compares such folders.

    After each epoch there is a checkpoint: weights, optimizer, balancer, the states of random layers,
    the other callbacks and the history. Start a run that was killed again, by the same program, and
    `fit` goes on behind the last whole epoch; it returns the whole history, and ends with the same
    weights to the last bit, where the data come in the same order again: those of `keras_mtl.data` and
    arrays do. The last two checkpoints are kept until the run is finished, so that one that was damaged
    is noticed, warned of and passed over. Nothing that is read back runs code.

    `fit` puts it behind all other callbacks. Of these it keeps the attributes that are plain: numbers,
    strings, None, arrays, and lists, tuples and dicts of them.

    Args:
        folder: The run's folder, made if it is not there. One process at a time trains in it.
        config: The run's configuration, kept as `config.yaml`: a YAML file, or a dict.
        seed: The seed that the run was begun with.
        data: What it is trained on: `keras_mtl.data.Examples`, or a dict of them such as
            `{"train": ..., "valid": ...}`, of which a fingerprint is kept; or `tf.data.Dataset`
            objects, which are described and cannot be told from others of their kind.
        resume: Whether to go on with a run that is not finished; one that is finished is refused.
            False begins anew and removes what there is of another run.

    Raises:
        TypeError: If `data` or `config` is something else.
        ValueError: When `fit` begins, if the run in the folder is finished; if another process trains
            in it; or if the run to go on with had other data, another seed, configuration or model.
        OSError: When `fit` begins, if the folder cannot be written; after an epoch, if a file cannot
            be, as on a full disk: the last good checkpoint is kept.

    Example:

    >>> import tempfile
    >>> import keras_mtl
    >>> from keras_mtl import encoders, tasks
    >>> train, valid, test = keras_mtl.datasets.multi_digits(train=64, valid=8, test=8)
    >>> encoder = encoders.Image((12, 12, 1), filters=[4])
    >>> digits = [tasks.MultiClass("left", 10), tasks.MultiClass("right", 10)]
    >>> model = keras_mtl.build_model(encoder, digits)
    >>> model.compile("adam", balancer="equal")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = RunFolder(folder, data=train, seed=0)
    ...     rows = train.dataset(32, shuffle=True, seed=0)
    ...     history = model.fit(rows, epochs=2, verbose=0, callbacks=[run])
    ...     sorted(path.name for path in run.folder.iterdir() if path.name[0] != ".")
    ['history.json', 'model.keras', 'run.json']
    """

    def __init__(
        self,
        folder: Any,
        *,
        config: Any = None,
        seed: int | None = None,
        data: Any = None,
        resume: bool = True,
    ):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.config = configuration(config)
        self.seed = seed
        self.resume = resume
        self.about: dict[str, Any] = {}
        self._parts = parts_of(data)
        self._checkpoints = Checkpoints(self.folder / files.CHECKPOINTS)
        self._found: Checkpoint | None = None
        self._fresh: list[dict[str, str]] = []
        self._begun = self._seconds = 0.0
        # Whether what the folder tells is of this run: not while another may be refused.
        self._own = False

    @property
    def others_to_keep(self) -> list[Any]:
        """The callbacks whose state goes into checkpoints."""
        # The clock's state is of the data that this process reads.
        return [c for c in self.others if not isinstance(c, EpochClock)]

    # What `fit` calls.

    def set_model(self, model: Any) -> None:
        # Before any callback begins, so that none writes into the folder of a run that is refused.
        super().set_model(model)
        self._open()

    def on_train_begin(self, logs: Any = None) -> None:
        """Behind all other callbacks, which have just forgotten what they knew."""
        self._fresh = plain.digests(self.others_to_keep)
        self._begun, self._seconds = time.monotonic(), 0.0
        if self._found is not None:
            self._go_on(self._found)
        self._found = None
        self._write_about()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # A later `fit` of this model begins where it is told to.
        self.model._initial_epoch = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        arrays = values_of(self.model)
        state = {
            "epochs": epoch + 1,
            "variables": len(arrays),
            "stopped": bool(self.model.stop_training),
            "seconds": self._so_far(),
            "callbacks": plain.changes(self.others_to_keep, self._fresh, arrays),
            "draws": plain.packed(draws(), arrays),
        }
        self._checkpoints.write(epoch + 1, Checkpoint(state, arrays))
        history = self.model.history
        self.about["epochs"] = len(history.epoch)
        files.write_json(
            self.folder / files.HISTORY, {"epoch": list(history.epoch), **history.history}
        )
        self._write_about()

    def on_train_end(self, logs: Any = None) -> None:
        self.model._initial_epoch = None
        self._write_model()
        self.about["status"] = "finished"
        self._write_about()
        self._checkpoints.clear()
        give_lock_back(self.folder)

    def on_failure(self, error: BaseException) -> None:
        """Notes that training was left by an error: "failed", or "stopped" if the user did so."""
        if self.about.get("status") != "running":
            return
        failed = isinstance(error, Exception)
        self.about["status"] = "failed" if failed else "stopped"
        self.about["failure"] = f"{type(error).__name__}: {error}" if failed else None
        try:
            if self._own:
                self._write_about()
        except OSError as second:
            logger.warning("That the run has failed could not be noted: %s", second)
        give_lock_back(self.folder)

    # What comes after training.

    def add(self, *, report: Any = None, export: Any = None) -> None:
        """Adds what is known after training.

        Args:
            report: The report of the test rows, of `keras_mtl.evaluate`; kept as `scores.json`.
            export: Where the model was exported to.

        Raises:
            ValueError: If there is no run in the folder.
            OSError: If it cannot be written.
        """
        if report is not None:
            files.write_json(self.folder / files.SCORES, report.to_dict())
        self.about = files.read_run(self.folder).about
        if export is not None:
            self.about["export"] = str(export)
        self._write_about()

    # How a run begins, and goes on.

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            take_lock(self.folder)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The run's folder {str(self.folder)!r} cannot be written ({error.strerror}); choose "
                "another folder, or change its permissions.",
            ) from None
        try:
            self._begin()
        except BaseException:
            give_lock_back(self.folder)
            raise

    def _begin(self) -> None:
        before, self._own = None, False
        if not self.resume:
            self._clear()
        elif (self.folder / files.ABOUT).exists():
            before = files.read_run(self.folder)
            self._refuse_finished(before)
        self._checkpoints.clear_halves()
        _clear_halves(self.folder)
        self._found = self._checkpoints.newest() if before else None
        self.about = self._new_record()
        if before is None or self._found is None:
            self._write_config()
            self._write_about()
            return
        # Nothing is written before it is certain that this is the same run.
        refuse_another(before, self.about, self.config)
        self.about["created"] = before.about.get("created", self.about["created"])
        if self.seed is None:
            self.about["seed"] = before.about.get("seed")
        if not self._parts:
            self.about["data"] = before.about.get("data", self.about["data"])

    def _new_record(self) -> dict[str, Any]:
        return {
            "format": files.FORMAT,
            "name": self.folder.resolve().name,
            "status": "running",
            "created": now(),
            "updated": now(),
            "seconds": 0.0,
            "epochs": 0,
            "command": command(),
            "versions": versions(),
            "seed": self.seed,
            "data": {"fingerprint": fingerprint(self._parts), "parts": described(self._parts)},
            "model": model_record(self.model),
            "export": None,
            "failure": None,
        }

    def _go_on(self, found: Checkpoint) -> None:
        """Brings model, callbacks and history to where they were after the checkpoint's epoch."""
        state, count = found.state, found.state["variables"]
        try:
            assign_values(self.model, found.arrays[:count])
        except ValueError as error:
            raise ValueError(
                f"The run in {str(self.folder)!r} was of another model: its checkpoint {error}; build "
                "and compile the same model, or begin anew with resume=False or in another folder."
            ) from None
        absent = plain.bring_back(self.others_to_keep, state["callbacks"], found.arrays)
        for kind in absent:
            logger.warning("The run goes on without the callback %s that it had.", kind)
        self._write_config()
        assign_draws(plain.unpacked(state["draws"], found.arrays))
        self._seconds = state["seconds"]
        epochs = state["epochs"]
        self.about["epochs"] = epochs
        logger.info("The run in %s goes on behind %d epochs.", self.folder, epochs)
        # Keras reads it when all callbacks have begun, as BackupAndRestore tells it, too.
        self.model._initial_epoch = (
            max(epochs, self.params["epochs"]) if state["stopped"] else epochs
        )

    def _refuse_finished(self, run: files.Run) -> None:
        if run.status == "finished":
            raise ValueError(
                f"The run in {str(self.folder)!r} is finished, after {run.about.get('epochs')} epochs; "
                "name another folder, or begin anew with resume=False, which removes that run."
            )

    def _clear(self) -> None:
        """Removes what there is of another run."""
        self._checkpoints.clear()
        shutil.rmtree(self.folder / files.LOGS, ignore_errors=True)
        for name in (files.ABOUT, files.CONFIG, files.HISTORY, files.SCORES, files.MODEL):
            (self.folder / name).unlink(missing_ok=True)

    def _write_config(self) -> None:
        if self.config is not None:
            files.write_text(self.folder / files.CONFIG, self.config)

    def _so_far(self) -> float:
        return self._seconds + time.monotonic() - self._begun

    def _write_about(self) -> None:
        if self._begun and self.about["status"] == "running":
            self.about["seconds"] = round(self._so_far(), 3)
        self.about["updated"] = now()
        files.write_json(self.folder / files.ABOUT, self.about)
        self._own = True

    def _write_model(self) -> None:
        waiting = self.folder / f".{os.getpid()}.{files.MODEL}"
        try:
            self.model.save(waiting)
            with open(waiting, "rb") as file:
                os.fsync(file.fileno())
            os.replace(waiting, self.folder / files.MODEL)
        except OSError as error:
            waiting.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"{self.folder / files.MODEL} could not be written ({error.strerror or error}); the "
                "checkpoints are kept: free some space and start the run again, which then writes it.",
            ) from None
        files.sync_folder(self.folder)


def _clear_halves(folder: pathlib.Path) -> None:
    """Removes what a process that was killed has left of a file that it was writing."""
    for path in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+|\.\d+\.model\.keras", path.name):
            path.unlink()

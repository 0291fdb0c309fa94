"""The Optuna study that processes and machines share: who takes which trial, and what was broken off."""

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._extra import extra_module
from keras_mtl.tuning._owner import SignsOfLife, is_gone, this_process

_AGREEMENT = "keras_mtl"
# How often a trial whose process went away is run again; it may be what ends the process.
_RETRIES = 2
# Seconds that a process waits for another one's writing to an SQLite file.
_PATIENCE = 60


class SharedStudy:
    """An Optuna study, and the rules by which several processes work on it.

    Args:
        storage: A database URL, an Optuna storage, or None for this process's memory.
        name: The study's name.
        sampler: An Optuna sampler; None for TPE with its seeds from `seed` and the trial's place,
            so that a study that was broken off proposes what it would have proposed.
        seed: For the default sampler.

    Raises:
        ImportError: If Optuna is not installed.
        ValueError: If the URL is not one.
        OSError: If the database cannot be opened.
    """

    def __init__(self, storage: Any, name: str, sampler: Any, seed: int):
        self.optuna = extra_module("optuna", "tune", "Tuning")
        self.storage = self._open(storage)
        self.name = name
        self.study: Any = None
        self._sampler = sampler
        self._seed = seed

    def agreed(self) -> dict[str, Any] | None:
        """What those who made the study agreed on; None if there is none of this name yet."""
        if self.name not in {found.study_name for found in self.storage.get_all_studies()}:
            return None
        identity = self.storage.get_study_id_from_name(self.name)
        return self.storage.get_study_user_attrs(identity).get(_AGREEMENT)

    def join(self, agreement: Mapping[str, Any]) -> None:
        """Makes the study or joins it.

        Args:
            agreement: What must be the same for everybody, as JSON holds it; `tasks` of it are the
                objectives, `{task: {"metric": name, "higher_is_better": bool}}`.

        Raises:
            ValueError: If the study that is there is another one's.
        """
        ours = json.loads(json.dumps(agreement))
        told = [task["higher_is_better"] for task in ours["tasks"].values()]
        self.study = self.optuna.create_study(
            storage=self.storage,
            study_name=self.name,
            directions=["maximize" if better else "minimize" for better in told],
            sampler=self._sampler or self._seeded(0),
            load_if_exists=True,
        )
        theirs = self.agreed()
        if theirs is None:
            self.study.set_user_attr(_AGREEMENT, ours)
            theirs = ours
        for key in ours:
            if theirs.get(key) != ours[key]:
                raise ValueError(
                    f"The study {self.name!r} that is there was begun with {key} {theirs.get(key)}, "
                    f"but came with {ours[key]}; results would not be comparable, so give the new "
                    "study another `name`."
                )

    def trials(self) -> list[Any]:
        """All trials as Optuna holds them."""
        return self.study.get_trials(deepcopy=False)

    def claim(self, wanted: int) -> Any:
        """The next trial, this process's own; None if all are taken.

        A trial takes a place that nobody of an earlier number has, so that at the end exactly
        `wanted` of them are finished, however many processes take part.
        """
        self._give_up_broken()
        if self._taken() >= wanted:
            return None
        trial = self.study.ask()
        trial.set_user_attr("owner", this_process())
        trial.set_user_attr("alive", time.time())
        place = self._taken(below=trial.number)
        if place >= wanted:
            self.withdraw(trial, "another process took the last place")
            return None
        if self._sampler is None:
            self.study.sampler = self._seeded(place)
        return trial

    def finish(self, trial: Any, scores: Sequence[float]) -> None:
        """The trial has come to its end with the score of each task."""
        self.study.tell(trial, list(scores))

    def give_up(self, trial: Any, reason: str) -> None:
        """The trial is not worth its remaining epochs."""
        trial.set_user_attr("reason", reason)
        self.study.tell(trial, state=self.optuna.trial.TrialState.PRUNED)

    def fail(self, trial: Any, reason: str) -> None:
        """The trial has failed for good, and keeps its place."""
        trial.set_user_attr("counts", True)
        self.withdraw(trial, reason)

    def withdraw(self, trial: Any, reason: str) -> None:
        """The trial has failed and leaves its place to another one."""
        trial.set_user_attr("reason", reason)
        self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)

    def run_again(self, trial: Any, reason: str) -> None:
        """The trial was broken off; its parameters are the next to be run."""
        self.withdraw(trial, reason)
        self._enqueue(trial)

    def signs_of_life(self, trial: Any) -> SignsOfLife:
        """Tells the others, as long as it is entered, that the trial is being run."""
        failures = (self.optuna.exceptions.OptunaError, OSError)
        return SignsOfLife(lambda now: trial.set_user_attr("alive", now), failures)

    def _enqueue(self, trial: Any) -> None:
        tried = trial.user_attrs.get("retries", 0)
        self.study.enqueue_trial(
            trial.params, user_attrs={"retries": tried + 1, "retry_of": trial.number}
        )

    def _give_up_broken(self) -> None:
        """Marks trials whose process went away as failed, and has them run again."""
        states, now = self.optuna.trial.TrialState, time.time()
        identity = self.storage.get_study_id_from_name(self.name)
        for trial in self.trials():
            if trial.state != states.RUNNING:
                continue
            owner = trial.user_attrs.get("owner")
            begun = trial.datetime_start or datetime.datetime.now()
            if not is_gone(owner, trial.user_attrs.get("alive", begun.timestamp()), now):
                continue
            number = self.storage.get_trial_id_from_study_id_trial_number(identity, trial.number)
            again = trial.user_attrs.get("retries", 0) < _RETRIES
            try:
                if not again:
                    self.storage.set_trial_user_attr(number, "counts", True)
                self.storage.set_trial_user_attr(number, "reason", "its process went away")
                self.storage.set_trial_state_values(number, states.FAIL)
            except RuntimeError:
                # Optuna's answer where another process was faster.
                continue
            if again:
                self._enqueue(trial)

    def _taken(self, below: int | None = None) -> int:
        """How many places are taken, by all trials or by those of a lower number."""
        states = self.optuna.trial.TrialState
        return sum(
            (below is None or trial.number < below)
            and (
                trial.state in (states.COMPLETE, states.PRUNED, states.RUNNING)
                or (trial.state == states.FAIL and trial.user_attrs.get("counts", False))
            )
            for trial in self.trials()
        )

    def _seeded(self, place: int) -> Any:
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        # Each number by itself, when it is asked for: by then the trial's place is known.
        return self.optuna.samplers.TPESampler(seed=seed, multivariate=False)

    def _open(self, storage: Any) -> Any:
        if storage is None:
            return self.optuna.storages.InMemoryStorage()
        if isinstance(storage, self.optuna.storages.BaseStorage):
            return storage
        if not isinstance(storage, str) or "://" not in storage:
            raise ValueError(
                f"`storage` is {storage!r}; expected a database URL such as 'sqlite:///tune.db', an "
                "Optuna storage, or None."
            )
        sqlalchemy = extra_module("sqlalchemy", "tune", "A tuning storage")
        try:
            url = sqlalchemy.engine.make_url(storage)
        except sqlalchemy.exc.ArgumentError as error:
            raise ValueError(f"`storage` is no database URL: {error}.") from None
        waiting = {"connect_args": {"timeout": _PATIENCE}} if url.drivername == "sqlite" else {}
        tables = 20
        for _ in range(tables):
            try:
                return self.optuna.storages.RDBStorage(storage, engine_kwargs=waiting)
            except sqlalchemy.exc.DBAPIError as error:
                # Another process may make the tables of a new database at this moment.
                made = isinstance(error, sqlalchemy.exc.IntegrityError)
                if not made and "already exists" not in str(error):
                    raise OSError(
                        f"The storage {url.render_as_string()} cannot be opened: {error.orig}."
                    ) from None
        raise OSError(f"The tables of {url.render_as_string()} cannot be made; try again.")

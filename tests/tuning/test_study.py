"""One study of several processes: who takes what, and what becomes of those that are killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import keras_mtl
from keras_mtl.tuning import _owner, tune
from keras_mtl.tuning._study import SharedStudy
from tests.tuning._small import SPACE, build, rows

optuna = pytest.importorskip("optuna")

ROOT = pathlib.Path(keras_mtl.__file__).parents[1]
AGREEMENT = {"tasks": {"a": {"metric": "auc", "higher_is_better": True}}}


class Worker:
    """Another process, spoken to by lines."""

    def __init__(self, url):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tuning._worker", url], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip

    def hear(self):
        return self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('study') / 'shared.db'}"


@pytest.fixture(scope="module")
def worker(storage):
    other = Worker(storage)
    yield other
    other.process.kill()
    other.process.communicate()


@pytest.fixture(scope="module")
def shared(storage, worker):
    """Six trials by two processes that began together on a database that was not there."""
    assert worker.hear() == "ready"
    worker.tell("6 meet")
    met = []

    def meet(parameters):
        if not met:
            met.append(worker.hear())
            worker.tell("go on")
        return 64

    parts = rows(48), rows(48, seed=1)
    options = {"space": SPACE, "epochs": 1, "storage": storage, "name": "shared", "prune": None}
    study = tune(build, *parts, trials=6, batch_size=meet, **options)
    assert met == ["has a trial"]
    assert worker.hear() == "done"
    return tune(build, *parts, trials=6, **options), study, parts, options


def test_two_processes_share_the_trials_of_one_study(shared, worker):
    study, _, _, _ = shared
    frozen = study.study.get_trials()
    states = optuna.trial.TrialState
    assert [t.state for t in frozen].count(states.COMPLETE) == 6
    assert not [t for t in frozen if t.state in (states.RUNNING, states.WAITING)]
    owners = {t.user_attrs["owner"]["pid"] for t in frozen if t.state == states.COMPLETE}
    assert owners == {os.getpid(), worker.process.pid}
    assert len({t.parameters["rate"] for t in study.finished}) == 6, "none was run twice"


def test_a_killed_process_loses_no_finished_trial_and_its_trial_is_run_again(shared, worker):
    before, _, parts, options = shared
    worker.tell("8 hang")
    assert worker.hear() == "hangs"
    worker.process.send_signal(signal.SIGKILL)
    assert worker.process.wait() == -signal.SIGKILL
    held = before.study.get_trials()[-1]
    assert held.state.name == "RUNNING" and held.user_attrs["owner"]["pid"] == worker.process.pid
    after = tune(build, *parts, trials=8, **options)
    kept = {t.number: t.scores for t in after.finished}
    assert {t.number: t.scores for t in before.finished}.items() <= kept.items()
    assert len(kept) == 8
    broken = after.trials[held.number]
    assert (broken.state, broken.reason) == ("failed", "its process went away")
    again = after.trials[held.number + 1]
    assert again.state == "finished" and again.parameters == broken.parameters
    assert after.study.get_trials()[again.number].user_attrs["retry_of"] == broken.number


def study_with(owner, alive, **attributes):
    """A study of which another machine runs the first trial."""
    shared = SharedStudy(None, "s", None, 0)
    shared.join(AGREEMENT)
    trial = shared.study.ask()
    trial.suggest_float("x", 0, 1)
    for name, value in {"owner": owner, "alive": alive, **attributes}.items():
        trial.set_user_attr(name, value)
    return shared, trial


ELSEWHERE = {"host": "another", "pid": os.getpid()}


def test_a_trial_of_another_machine_is_left_alone_while_it_gives_signs_of_life():
    shared, _ = study_with(ELSEWHERE, time.time())
    mine = shared.claim(2)
    assert mine.number == 1 and "retry_of" not in mine.user_attrs
    assert shared.trials()[0].state.name == "RUNNING"
    assert shared.claim(2) is None


def test_a_trial_of_another_machine_that_fell_silent_is_run_again():
    shared, trial = study_with(ELSEWHERE, time.time() - _owner.GRACE - 1)
    mine = shared.claim(1)
    assert mine.user_attrs["retry_of"] == 0
    assert mine.suggest_float("x", 0, 1) == trial.params["x"]
    assert shared.trials()[0].state.name == "FAIL"


def test_a_trial_that_ended_its_process_several_times_is_not_run_again():
    shared, _ = study_with(ELSEWHERE, time.time() - _owner.GRACE - 1, retries=2)
    mine = shared.claim(2)
    assert mine.number == 1 and "retry_of" not in mine.user_attrs
    assert shared.claim(2) is None, "the broken one keeps its place"


def test_a_process_that_came_too_late_gives_its_trial_back():
    """Another process takes the last place between a look at the study and the claim."""
    shared = SharedStudy(None, "s", None, 0)
    shared.join(AGREEMENT)
    ask, taken = shared.study.ask, []

    def others_first():
        if not taken:
            taken.append(ask())
        return ask()

    shared.study.ask = others_first
    assert shared.claim(1) is None
    assert [t.state.name for t in shared.trials()] == ["RUNNING", "FAIL"]
    shared.finish(taken[0], [0.5])
    assert shared.claim(1) is None and shared.claim(2) is not None


def test_whether_a_process_is_gone():
    here, now = _owner.this_process(), 1000.0
    assert not _owner.is_gone(here, 0.0, now), "this very process, however silent"
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert _owner.is_gone({**here, "pid": done.pid}, now, now)
    assert not _owner.is_gone({**here, "pid": os.getppid()}, now, now)
    assert not _owner.is_gone(ELSEWHERE, now - _owner.GRACE, now)
    assert _owner.is_gone(None, now - _owner.GRACE - 1, now)


def test_signs_of_life_are_given_while_a_trial_runs(monkeypatch, caplog):
    monkeypatch.setattr(_owner, "BEAT", 0.001)
    shared, trial = study_with(ELSEWHERE, 0.0)
    with shared.signs_of_life(trial) as signs:
        while trial.user_attrs["alive"] == 0.0:
            signs._ended.wait(0.001)
    assert trial.user_attrs["alive"] == pytest.approx(time.time(), abs=60)
    assert not signs._thread.is_alive()

    def unreachable(now):
        signs._ended.set()
        raise OSError("the database is away")

    with _owner.SignsOfLife(unreachable, (OSError,)) as signs:
        signs._ended.wait(30)
    assert "the database is away" in caplog.text

"""Tuning in one process: objectives, resumption, pruning, failures, and what does not go together."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import build_model, encoders, tasks, tuning
from keras_mtl.data import Examples
from keras_mtl.tuning import tune
from tests.tuning._small import SPACE, build, rows

optuna = pytest.importorskip("optuna")

LITTLE = {"trials": 2, "epochs": 1}


@pytest.fixture(scope="module")
def parts():
    return rows(48), rows(48, seed=1)


@pytest.fixture(scope="module")
def found(parts):
    """A study of four trials, in memory."""
    lines = []
    study = tune(build, *parts, space=SPACE, trials=4, epochs=2, progress=lines.append)
    return study, lines


def proposals(study):
    return [study.told(trial) for trial in study.trials]


def test_the_score_of_a_trial_is_that_of_its_model_after_the_last_epoch(found, parts):
    study, _ = found
    train, valid = parts
    trial = study.best()
    keras.utils.set_random_seed(0)
    model = build(trial.parameters)
    model.fit(train.dataset(64, shuffle=True, seed=0), epochs=2, verbose=0)
    report = keras_mtl.evaluate(model, valid)
    assert trial.scores == {
        "total": pytest.approx(report["total"]["rmse"], rel=1e-5),
        "sign": pytest.approx(report["sign"]["auc"], rel=1e-5),
    }
    assert trial.curve[-1] == trial.scores and len(trial.curve) == 2
    assert trial.seconds is not None and trial.seconds > 0


def test_every_task_is_an_objective_in_its_own_direction(found):
    study, lines = found
    assert study.metrics == {"total": "rmse", "sign": "auc"}
    assert study.higher_is_better == {"total": False, "sign": True}
    assert [d.name for d in study.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert [trial.state for trial in study.trials] == ["finished"] * 4
    best = {trial.number for trial in study.study.best_trials}
    assert {trial.number for trial in study.front} == best
    assert len(lines) == 4
    first = study.trials[0].scores
    assert lines[0].startswith(
        f"trial 0: total rmse {first['total']:.4f}, sign auc {first['sign']:.4f} ("
    )


def test_parameters_are_what_build_was_given(found):
    study, _ = found
    for trial in study.trials:
        given = trial.parameters
        assert isinstance(given["units"], int) and 2 <= given["units"] <= 16
        assert given["balancer"] in (None, "uncertainty")
        assert sum(given["weights"].values()) == pytest.approx(2.0)
    assert len({trial.parameters["rate"] for trial in study.trials}) == 4


def test_a_study_that_goes_on_is_what_it_would_have_been(found, parts, tmp_path):
    """Finished trials stay, and what is proposed next does not depend on the interruption."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    options = {"space": SPACE, "epochs": 2, "storage": url}
    first = tune(build, *parts, trials=2, **options)
    assert len(first.trials) == 2
    whole = tune(build, *parts, trials=4, **options)
    assert proposals(whole)[:2] == proposals(first)
    assert proposals(whole) == proposals(found[0])
    assert [t.scores for t in whole.trials[:2]] == [t.scores for t in first.trials]
    built = []
    tune(lambda p: built.append(p), *parts, trials=4, **options)
    assert not built, "there is nothing left to do, not even to look at a model"


def test_seeds_propose_other_trials(found, parts):
    other = tune(build, *parts, space=SPACE, seed=1, trials=1, epochs=1)
    assert not {t["rate"] for t in proposals(other)} & {t["rate"] for t in proposals(found[0])}


def test_ctrl_c_breaks_a_trial_off_that_is_run_again_with_its_parameters(parts, tmp_path):
    options = {"space": SPACE, "storage": f"sqlite:///{tmp_path / 'study.db'}", **LITTLE}
    seen = []

    def interrupted(parameters):
        seen.append(parameters)
        if len(seen) == 3:  # the first looks at the tasks
            raise KeyboardInterrupt
        return build(parameters)

    with pytest.raises(KeyboardInterrupt):
        tune(interrupted, *parts, **options)
    went_on = tune(build, *parts, **options)
    assert [t.state for t in went_on.trials] == ["finished", "failed", "finished"]
    assert went_on.trials[1].reason == "broken off"
    assert went_on.trials[2].parameters == went_on.trials[1].parameters == seen[2]


def test_an_error_is_raised_and_its_place_is_given_to_another_trial(parts, tmp_path):
    options = {"space": SPACE, "storage": f"sqlite:///{tmp_path / 'study.db'}", **LITTLE}
    calls = []

    def faulty(parameters):
        calls.append(parameters)
        if len(calls) == 3:
            raise RuntimeError("no room")
        return build(parameters)

    with pytest.raises(RuntimeError, match="no room"):
        tune(faulty, *parts, **options)
    went_on = tune(build, *parts, **options)
    assert [t.state for t in went_on.trials] == ["finished", "failed", "finished"]
    assert went_on.trials[1].reason == "RuntimeError: no room"


def test_an_error_that_is_to_be_caught_counts_as_a_failed_trial(parts):
    calls = []

    def faulty(parameters):
        calls.append(parameters)
        if len(calls) == 2:
            raise MemoryError("too wide")
        return build(parameters)

    lines = []
    options = {**LITTLE, "catch": (MemoryError,), "progress": lines.append}
    study = tune(faulty, *parts, space=SPACE, **options)
    assert [t.state for t in study.trials] == ["failed", "finished"]
    assert lines[0] == "trial 0 failed: MemoryError: too wide"
    assert "1 failed, 1 finished" in str(study)


@pytest.mark.parametrize("policy", ["raise", "ignore"])
def test_a_loss_that_is_not_finite_gives_the_trial_up_at_once(parts, policy):
    """Whether the model refuses such steps or takes them, as stock Keras does."""

    def exploding(parameters):
        model = build({})
        rate = keras.optimizers.SGD(parameters["rate"])
        model.compile(rate, run_eagerly=True, on_nonfinite=policy)
        return model

    space = {"rate": tuning.Choice([1e30])}
    study = tune(exploding, *parts, space=space, trials=1, epochs=5, batch_size=8, prune=None)
    (trial,) = study.trials
    assert trial.state == "pruned" and "loss" in trial.reason and "epoch" in trial.reason
    assert not trial.curve and not trial.scores
    assert study.front == [] and "No trial has finished" in str(study)
    with pytest.raises(ValueError, match="no finished trial to draw"):
        study.draw("front.svg")


def test_a_trial_that_falls_behind_ends_early_and_is_not_on_the_front(parts):
    """Good parameters twice, then bad ones, by Optuna's own queue."""
    rates = {"good": 0.1, "bad": 1e-7}
    storage = optuna.storages.InMemoryStorage()
    space = {"rate": tuning.Choice(list(rates))}
    options = {"space": space, "epochs": 3, "storage": storage, "name": "s"}

    def of_rate(parameters):
        return build({"units": 8, "rate": rates[parameters["rate"]]})

    def queue(rate, n):
        study = optuna.load_study(study_name="s", storage=storage)
        for _ in range(n):
            study.enqueue_trial({"rate": rate})

    directions = ["minimize", "maximize"]
    optuna.create_study(study_name="s", storage=storage, directions=directions)
    queue("good", 2)
    rule = tuning.Pruning(trials=2, epochs=2)
    first = tune(of_rate, *parts, trials=2, prune=rule, **options)
    assert [(t.parameters["rate"], t.state) for t in first.trials] == [("good", "finished")] * 2
    queue("bad", 1)
    lines = []
    study = tune(of_rate, *parts, trials=3, prune=rule, progress=lines.append, **options)
    assert study.trials[2].state == "pruned"
    assert len(study.trials[2].curve) == 2, (
        "two epochs it has in any case, and the third never came"
    )
    assert lines == ["trial 2 given up: worse than the median on every task after epoch 2"]
    assert 2 not in {trial.number for trial in study.front}
    queue("bad", 1)
    patient = tune(of_rate, *parts, trials=4, prune=None, **options)
    assert patient.trials[3].state == "finished" and len(patient.trials[3].curve) == 3


def test_callbacks_see_validation_and_may_bring_back_an_earlier_epoch(parts):
    made = []

    class Keeps(keras.callbacks.Callback):
        """Ends with the weights of the first epoch."""

        def on_epoch_end(self, epoch, logs=None):
            assert "val_sign_loss" in logs
            if epoch == 0:
                self.first = self.model.get_weights()

        def on_train_end(self, logs=None):
            self.model.set_weights(self.first)

    def callbacks():
        made.append(Keeps())
        return made[-1:]

    space = {"rate": tuning.Choice([0.05])}
    sizes = []

    def batch_size(parameters):
        sizes.append(parameters["rate"])
        return 16

    study = tune(
        build, *parts, space=space, trials=1, epochs=2, batch_size=batch_size, callbacks=callbacks
    )
    (trial,) = study.trials
    assert trial.scores == pytest.approx(trial.curve[0])
    assert trial.scores != pytest.approx(trial.curve[1])
    assert len(made) == 1 and sizes == [0.05]


def test_one_task_and_batches_of_their_own(parts):
    def alone(parameters):
        model = build_model(
            encoders.Dense(3, units=[4], input_name="x"), [tasks.Regression("total")]
        )
        model.compile(keras.optimizers.SGD(parameters["rate"]), run_eagerly=True)
        return model

    def batches(examples):
        return Examples(examples.inputs, {"total": examples.labels["total"]}).dataset(32)

    space = {"rate": tuning.Float(0.001, 0.1)}
    train, valid = map(batches, parts)
    study = tune(alone, train, valid, space=space, trials=2, epochs=1)
    least = min(study.trials, key=lambda trial: trial.scores["total"])
    assert study.front == [least] and study.best() == least


def uncompiled(parameters):
    return build_model(encoders.Dense(3, units=[4], input_name="x"), [tasks.Regression("total")])


def nothing(parameters):
    return None


def undescribed(parameters):
    inputs = keras.Input((3,), name="x")
    model = keras_mtl.MultiTaskModel(inputs, {"total": keras.layers.Dense(1)(inputs)})
    model.compile("sgd", loss="mse")
    return model


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (uncompiled, "a MultiTaskModel that is not compiled"),
        (nothing, "returned a NoneType; expected a MultiTaskModel"),
        (undescribed, r"outputs \['total'\] have no task object"),
    ],
)
def test_what_build_must_not_return(parts, made, message):
    with pytest.raises(ValueError, match=message):
        tune(made, *parts, space=SPACE, **LITTLE)


def test_a_study_of_other_parameters_tasks_or_epochs_is_refused(parts, tmp_path):
    storage = optuna.storages.InMemoryStorage()
    options = {"storage": storage}
    tune(build, *parts, space=SPACE, trials=1, epochs=1, **options)
    with pytest.raises(ValueError, match=r"begun with epochs 1, but came with 2; .*another `name`"):
        tune(build, *parts, space=SPACE, trials=2, epochs=2, **options)
    other = {**SPACE, "units": tuning.Int(2, 17, log=True)}
    with pytest.raises(ValueError, match=r"'keras_mtl' that is there was begun with space .*17"):
        tune(build, *parts, space=other, trials=2, epochs=1, **options)
    with pytest.raises(ValueError, match="`build` returned a model of the tasks"):
        tune(of_one_task, *parts, space=SPACE, trials=2, epochs=1, **options)
    assert len(tune(build, *parts, space=SPACE, trials=1, epochs=1, **options).finished) == 1


def of_one_task(parameters):
    model = uncompiled(parameters)
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 0}, "`trials` is 0"),
        ({"epochs": True}, "`epochs` is True"),
        ({"batch_size": 2.5}, "`batch_size` is 2.5"),
        ({"storage": "tune.db"}, "'tune.db'; expected a database URL such as 'sqlite:///tune.db'"),
        ({"storage": "no such thing://"}, "no database URL"),
    ],
)
def test_arguments_that_cannot_be(parts, changed, message):
    with pytest.raises(ValueError, match=message):
        tune(build, *parts, space=SPACE, **{**LITTLE, **changed})


def test_a_database_that_cannot_be_opened_is_told_without_its_password(parts, tmp_path):
    with pytest.raises(OSError, match=r"nowhere/study.db cannot be opened: unable to open"):
        tune(build, *parts, space=SPACE, storage=f"sqlite:///{tmp_path}/nowhere/study.db", **LITTLE)


def test_scores_of_a_part_without_labels_are_refused(parts):
    valid = Examples({"x": np.zeros((4, 3))}, {"total": np.zeros(4)})
    with pytest.raises(ValueError, match=r"no label of the tasks \['sign'\]"):
        tune(build, parts[0], valid, space=SPACE, **LITTLE)

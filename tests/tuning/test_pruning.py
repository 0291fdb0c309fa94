"""Giving trials up: medians by hand, and as Optuna's rule for one objective decides."""

import numpy as np
import pytest

from keras_mtl.tuning import Pruning

nan = float("nan")


def curves(*values, task="a"):
    return [[{task: v} for v in curve] for curve in values]


def test_one_task_that_keeps_up_is_enough():
    finished = [[{"a": v, "b": 10.0 * v}] for v in (0.2, 0.4, 0.6)]  # medians 0.4 and 4
    better = {"a": True, "b": False}
    rule = Pruning(trials=3)
    assert rule.falls_behind([{"a": 0.3, "b": 5.0}], finished, better)
    assert not rule.falls_behind([{"a": 0.5, "b": 5.0}], finished, better)
    assert not rule.falls_behind([{"a": 0.3, "b": 3.0}], finished, better)
    assert not rule.falls_behind([{"a": 0.4, "b": 5.0}], finished, better)  # as good as the median


def test_the_best_epoch_of_a_trial_speaks_for_it():
    finished = curves((0.1, 0.4), (0.1, 0.5), (0.1, 0.6))
    rule = Pruning(trials=3)
    assert not rule.falls_behind([{"a": 0.5}, {"a": 0.1}], finished, {"a": True})
    assert rule.falls_behind([{"a": 0.45}, {"a": 0.1}], finished, {"a": True})


def test_it_waits_for_epochs_and_for_trials_that_came_as_far():
    finished = curves((0.5, 0.5), (0.5, 0.5), (0.5,))
    one, two = [{"a": 0.0}], [{"a": 0.0}, {"a": 0.0}]
    assert Pruning(trials=3).falls_behind(one, finished, {"a": True})
    assert not Pruning(trials=3).falls_behind(two, finished, {"a": True})
    assert Pruning(trials=2).falls_behind(two, finished, {"a": True})
    assert not Pruning(trials=2, epochs=2).falls_behind(one, finished, {"a": True})


def test_scores_that_are_not_defined_are_left_out():
    finished = curves((0.5,), (nan,), (0.7,))
    assert Pruning(trials=2).falls_behind([{"a": nan}], finished, {"a": True})
    assert Pruning(trials=2).falls_behind([{"a": 0.5}], finished, {"a": True})
    assert not Pruning(trials=2).falls_behind([{"a": 0.5}], curves((nan,), (nan,)), {"a": True})


@pytest.mark.parametrize("more", [True, False])
def test_of_one_task_it_is_optunas_median_rule(more):
    optuna = pytest.importorskip("optuna")
    drawn = np.random.default_rng(1).normal(size=(7, 4)).round(3)
    study = optuna.create_study(
        direction="maximize" if more else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    )
    for curve in drawn:
        trial = study.ask()
        for step, value in enumerate(curve):
            trial.report(value, step)
        study.tell(trial, curve[-1])
    decided = []
    for seed in range(40):
        curve = np.random.default_rng(100 + seed).normal(size=4) - (0.3 if more else -0.3)
        trial = study.ask()
        for step, value in enumerate(curve):
            trial.report(value, step)
            ours = Pruning(trials=5, epochs=2).falls_behind(
                [{"a": v} for v in curve[: step + 1]], curves(*drawn), {"a": more}
            )
            decided.append(ours)
            assert ours == trial.should_prune()
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert 10 < sum(decided) < 150


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="trials=0, epochs=1"):
        Pruning(trials=0)
    with pytest.raises(ValueError, match="prune=None"):
        Pruning(epochs=0)

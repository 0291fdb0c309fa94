"""Pareto fronts worked by hand, and as Optuna finds them."""

import numpy as np
import pytest

from keras_mtl.tuning import best_of, pareto_front

BOTH = {"a": True, "b": True}


def points(*pairs):
    return [{"a": a, "b": b} for a, b in pairs]


def test_a_front_by_hand():
    #           best on a, beaten by the next, in the middle, best on b, beaten by all
    found = points((5, 1), (2, 3), (3, 3), (1, 4), (0, 0))
    assert pareto_front(found, BOTH) == [0, 2, 3]


def test_directions_turn_the_front_around():
    found = points((5, 1), (2, 3), (3, 3), (1, 4), (0, 0))
    assert pareto_front(found, {"a": False, "b": False}) == [4]
    # Much of a, little of b: the first has most of a, the last least of b.
    assert pareto_front(found, {"a": True, "b": False}) == [0, 4]
    assert pareto_front(found, {"a": False, "b": True}) == [4, 3]


def test_equals_are_on_the_front_together_and_a_tie_on_one_task_is_not_enough():
    assert pareto_front(points((1, 1), (1, 1)), BOTH) == [0, 1]
    assert pareto_front(points((1, 1), (1, 2)), BOTH) == [1]
    assert pareto_front([], BOTH) == []


@pytest.mark.parametrize("better", [(True, True, True), (True, False, True), (False, False, False)])
def test_optuna_finds_the_same_front(better):
    optuna = pytest.importorskip("optuna")
    drawn = np.random.default_rng(3).integers(0, 6, size=(80, 3)).astype(float)
    study = optuna.create_study(directions=["maximize" if b else "minimize" for b in better])
    for values in drawn:
        study.add_trial(optuna.create_trial(values=list(values), params={}, distributions={}))
    found = [dict(zip("xyz", values, strict=True)) for values in drawn]
    ours = pareto_front(found, dict(zip("xyz", better, strict=True)))
    assert sorted(ours) == sorted(trial.number for trial in study.best_trials)
    assert 3 < len(ours) < 40


def test_the_best_by_weights_by_hand():
    # Scaled: a is 1, 0.5, 0; b (less is better) is 0, 0.8, 1.
    found = points((10, 6), (5, 2), (0, 1))
    better = {"a": True, "b": False}
    assert best_of(found, better) == 1  # 0.5 + 0.8 against 1 and 1
    assert best_of(found, better, {"b": 0}) == 0
    assert best_of(found, better, {"a": 0}) == 2
    assert best_of(found, better, {"a": 3}) == 0  # 3 against 1.5 + 0.8
    assert best_of(points((1, 1), (1, 1)), BOTH) == 0


@pytest.mark.parametrize("weights", [{"c": 1.0}, {"a": -1.0}, {"a": 0.0, "b": 0.0}, {"a": np.nan}])
def test_weights_that_choose_nothing_are_refused(weights):
    with pytest.raises(ValueError, match=r"tasks \['a', 'b'\]"):
        best_of(points((1, 1)), BOTH, weights)


def test_scores_that_are_missing_are_told_by_result_and_task():
    with pytest.raises(ValueError, match="Result 1 has the score nan of task 'b'"):
        pareto_front(points((1, 1), (1, np.nan)), BOTH)
    with pytest.raises(ValueError, match="Result 0 has the score None of task 'b'"):
        pareto_front([{"a": 1.0}], BOTH)
    with pytest.raises(ValueError, match="no finished result"):
        best_of([], BOTH)

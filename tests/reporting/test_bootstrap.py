"""Intervals: as wide as theory says, the same again, and told where there is none."""

import numpy as np
import pytest

from keras_mtl import tasks
from keras_mtl.reporting._bootstrap import FEWER, RESAMPLES, draws, intervals
from keras_mtl.reporting._judged import Judged
from tests.reporting._every_kind import TASKS, judged


def right_in(share, n):
    """A yes-or-no task that is right in that share of n rows."""
    truth = np.arange(n) % 2
    wrong = np.arange(n) >= share * n
    served = np.where(wrong, 1 - truth, truth).reshape(-1, 1) * 0.8 + 0.1
    task = tasks.Binary("t")
    return Judged("t", task, truth, served, np.arange(n), task.score(truth, served))


def test_of_a_share_it_is_that_of_the_binomial_distribution():
    from scipy import stats

    found = intervals(right_in(0.8, 500))["accuracy"]
    assert found.value == 0.8 and found.resamples == RESAMPLES
    expected = stats.binom.ppf([0.025, 0.975], 500, 0.8) / 500
    assert found.range == pytest.approx(expected, abs=0.006)


def test_it_covers_the_truth_about_as_often_as_it_says():
    """Of means of 40 rows with a known share of 0.7, 95 % of the intervals should hold it."""
    rng = np.random.default_rng(0)
    held = 0
    for i in range(60):
        right = rng.random(40) < 0.7
        truth = np.arange(40) % 2
        served = np.where(right, truth, 1 - truth).reshape(-1, 1)
        task = tasks.Binary("t")
        one = Judged("t", task, truth, served, np.arange(40), task.score(truth, served))
        low, high = intervals(one, resamples=300, seed=i)["accuracy"].range
        held += low <= 0.7 <= high
    assert 52 <= held <= 60


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_metric_of_every_kind_is_within_its_interval_and_the_same_again(name):
    one = judged(name)
    found = intervals(one, resamples=200)
    assert list(found) == list(one.scores)
    for interval in found.values():
        assert interval.range.low <= interval.value <= interval.range.high
        assert interval.range.low < interval.range.high and interval.resamples == 200
    assert intervals(one, resamples=200) == found
    assert intervals(one, resamples=200, seed=1) != found


class Odd(tasks.Binary):
    """A task with a metric that no sum over rows gives."""

    def score(self, y_true, y_pred):
        return {"median": float(np.median(y_pred)), "accuracy": 0.125}


def test_metrics_of_a_task_of_ones_own_are_asked_of_it():
    served = np.linspace(0, 1, 80).reshape(-1, 1)
    task = Odd("t")
    one = Judged("t", task, np.arange(80) % 2, served, np.arange(80), task.score(None, served))
    found = intervals(one)
    assert {interval.resamples for interval in found.values()} == {FEWER}
    assert found["median"].range.low < 0.5 < found["median"].range.high
    assert found["accuracy"].range == (0.125, 0.125), "the task's own, not the usual one"


def test_of_one_row_or_an_undefined_metric_there_is_none():
    assert intervals(right_in(1.0, 1))["accuracy"].range is None
    truth, task = np.ones(9, int), tasks.Binary("t")
    served = np.full((9, 1), 0.7)
    one = Judged("t", task, truth, served, np.arange(9), task.score(truth, served))
    assert intervals(one)["auc"].range is None


def test_draws_are_whole_and_of_rows():
    parts = list(draws(700_000, 5, seed=0))
    assert sum(len(part) for part in parts) == 5 and len(parts) > 1
    assert all(part.shape[1] == 700_000 and part.max() < 700_000 for part in parts)

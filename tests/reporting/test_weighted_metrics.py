"""Metrics of many resamples at once: those that the task's own score gives one by one."""

import numpy as np
import pytest
from sklearn import metrics

from keras_mtl.reporting._weighted_metrics import (
    weighted_auc,
    weighted_average_precision,
    weighted_metrics,
)
from tests.reporting._every_kind import TASKS, judged


@pytest.mark.parametrize("name", sorted(TASKS))
def test_they_equal_the_score_of_each_resample(name, rng):
    one = judged(name, n=40)
    n = len(one.rows)
    drawn = rng.integers(0, n, (12, n))
    weights = np.stack([np.bincount(rows, minlength=n) for rows in drawn]).astype("float64")
    found = weighted_metrics(one)(weights)
    told = [one.task.score(one.labels[rows], one.answers[rows]) for rows in drawn]
    assert set(one.scores) <= set(found)
    for metric in one.scores:
        expected = [score[metric] for score in told]
        np.testing.assert_allclose(found[metric], expected, rtol=1e-6, atol=1e-9, err_msg=metric)


def test_areas_of_tied_chances_are_those_of_scikit_learn(rng):
    yes, chances = rng.random(50) < 0.4, np.round(rng.random(50), 1)
    counts = rng.integers(0, 4, (5, 50)).astype("float64")
    for i, area in enumerate(weighted_auc(chances, yes, counts)):
        assert area == pytest.approx(metrics.roc_auc_score(yes, chances, sample_weight=counts[i]))
    for i, area in enumerate(weighted_average_precision(chances, yes, counts)):
        expected = metrics.average_precision_score(yes, chances, sample_weight=counts[i])
        assert area == pytest.approx(expected)


def test_an_area_of_one_class_is_not_defined():
    yes = np.array([True, False])
    one_class = np.array([[2.0, 0.0]])
    assert np.isnan(weighted_auc(np.array([0.1, 0.2]), yes, one_class)).all()

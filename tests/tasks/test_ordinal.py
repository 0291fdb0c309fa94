"""Ordinal: probabilities that fall in order, and the loss by hand."""

import numpy as np
import pytest

from keras_mtl import tasks
from keras_mtl.tasks.ordinal import OrderedThresholds


def test_thresholds_rise_whatever_is_learnt(rng):
    layer = OrderedThresholds(4)
    layer.build((None, 1))
    layer.set_weights([rng.normal(size=1), 5 * rng.normal(size=3)])
    logits = np.asarray(layer(rng.normal(size=(50, 1)).astype("float32")))
    assert (np.diff(logits, axis=1) < 0).all()


def test_loss_and_probabilities_by_hand():
    logits = np.array([[1.0, -1.0]])  # P(y > 0) = 0.731, P(y > 1) = 0.269
    p = 1 / (1 + np.exp(-logits[0]))
    task = tasks.Ordinal("t", ["low", "middle", "high"])
    np.testing.assert_allclose(
        np.asarray(task.predictions(logits, {})), [[1 - p[0], p[0] - p[1], p[1]]], rtol=1e-6
    )
    got = np.asarray(task.loss_values(np.array([1]), logits, {}))
    np.testing.assert_allclose(got, [-np.log(p[0]) - np.log(1 - p[1])], rtol=1e-6)


def test_it_decides_for_the_median_class():
    """Of 0.4, 0.15, 0.45 the most likely class is the last, the median the middle one."""
    task = tasks.Ordinal("t", 3)
    assert task.labels_from(np.array([[0.4, 0.15, 0.45]])) == [1]
    assert task.score(np.array([1, 2]), np.array([[0.1, 0.8, 0.1], [0.9, 0.1, 0.0]]))["mae"] == 1.0
    assert task.score(np.array([0, 2]), np.array([[1.0, 0, 0], [0, 0, 1.0]]))[
        "quadratic_kappa"
    ] == pytest.approx(1.0)

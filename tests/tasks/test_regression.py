"""Regression: scaled inside, the target's own units outside."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, tasks


def test_targets_of_any_scale_are_learnt_and_served_in_their_units(rng):
    x = rng.normal(size=(300, 2)).astype("float32")
    y = np.stack([1e6 + 2e5 * x[:, 0], 1e-3 * x[:, 1]], axis=1)
    task = tasks.Regression("t", ["price", "rate"], units="EUR")
    model = keras_mtl.build_model(encoders.Dense(2, units=[16]), [task])
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, {"t": y}, epochs=40, verbose=0)
    state = model.get_layer("t").state
    np.testing.assert_allclose(state["mean"].numpy(), y.mean(0), rtol=1e-4)
    np.testing.assert_allclose(state["scale"].numpy(), y.std(0), rtol=1e-4)
    served = model.predict(x, verbose=0)["t"]
    for d in range(2):
        assert np.corrcoef(served[:, d], y[:, d])[0, 1] > 0.99
        assert served[:, d].std() == pytest.approx(y[:, d].std(), rel=0.1)


def test_losses_by_hand():
    labels, scores = np.array([[0.0], [0.0]]), np.array([[0.5], [3.0]])
    for loss, expected in (("mse", [0.25, 9.0]), ("mae", [0.5, 3.0]), ("huber", [0.125, 2.5])):
        task = tasks.Regression("t", loss=loss, scaling=None)
        got = np.asarray(task.loss_values(labels, scores, {}))
        np.testing.assert_allclose(got[:, 0], expected)


def test_missing_elements_move_neither_scale_nor_score():
    labels = np.array([[1.0, np.nan], [3.0, 10.0], [np.nan, 30.0]])
    task = tasks.Regression("t", 2)
    state = task.adapt(labels)
    np.testing.assert_allclose(state["mean"], [2, 20])
    np.testing.assert_allclose(state["scale"], [1, 10])
    got = task.score(labels, np.array([[1.0, 5.0], [4.0, 10.0], [9.0, 30.0]]))
    assert got["rmse"] == pytest.approx(0.5) and got["mae"] == pytest.approx(0.25)


def test_a_constant_target_is_not_divided_by_nothing():
    np.testing.assert_allclose(tasks.Regression("t").adapt(np.full(5, 7.0))["scale"], [1.0])

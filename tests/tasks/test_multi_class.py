"""MultiClass: loss by hand, unseen classes are errors."""

import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, tasks


def test_smoothed_loss_by_hand():
    logits = np.array([[1.0, 2.0, 0.0]])
    log_p = logits - np.log(np.exp(logits).sum())
    task = tasks.MultiClass("t", 3, label_smoothing=0.3)
    got = np.asarray(task.loss_values(np.array([1]), logits, {}))
    expected = -(0.8 * log_p[0, 1] + 0.1 * log_p[0, 0] + 0.1 * log_p[0, 2])
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_a_class_that_is_not_known_is_an_error_and_not_missing(rng):
    """Its id of -2 has no loss, counts against the accuracy, and is told in the report."""
    x = rng.normal(size=(10, 4)).astype("float32")
    y = np.array([0, 1, 0, 1, -1, -1, -2, -2, -3, 0])
    model = keras_mtl.build_model(encoders.Dense(4, units=[3]), [tasks.MultiClass("t", 2)])
    model.compile("sgd")
    got = model.evaluate(x, {"t": y}, verbose=0, return_dict=True)
    known = model.evaluate(x[y >= 0], {"t": y[y >= 0]}, verbose=0, return_dict=True)
    assert got["loss"] == pytest.approx(known["loss"])
    assert got["t_accuracy"] == pytest.approx(known["t_accuracy"] * 5 / 8)
    report = keras_mtl.evaluate(model, x, {"t": y})
    assert report["t"]["accuracy"] == pytest.approx(got["t_accuracy"])
    assert report.unseen == {"t": 3} and report.counts == {"t": 8}
    assert "t: 3" in str(report)

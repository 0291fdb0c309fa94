"""Binary: cross-entropy, smoothing and focus worked by hand; scores as scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from keras_mtl import tasks


def values(task, labels, logits):
    return np.asarray(task.loss_values(np.array(labels), np.array(logits)[:, None], {}))


def test_loss_of_each_label_by_hand():
    p = 1 / (1 + np.exp(-np.array([2.0, 2.0])))
    got = values(tasks.Binary("t"), [1.0, 0.0], [2.0, 2.0])
    np.testing.assert_allclose(got, [-np.log(p[0]), -np.log(1 - p[1])], rtol=1e-6)


def test_smoothing_draws_labels_towards_a_half():
    p = 1 / (1 + np.exp(-2.0))
    got = values(tasks.Binary("t", label_smoothing=0.2), [1.0], [2.0])
    np.testing.assert_allclose(got, [-(0.9 * np.log(p) + 0.1 * np.log(1 - p))], rtol=1e-6)


def test_focal_loss_by_hand():
    """(1 - p_t)^gamma times the cross-entropy (Lin et al. 2017, equation 4)."""
    p = 1 / (1 + np.exp(-2.0))
    got = values(tasks.Binary("t", focal_gamma=2.0), [1.0, 0.0], [2.0, 2.0])
    expected = [-((1 - p) ** 2) * np.log(p), -(p**2) * np.log(1 - p)]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_class_weights_by_name_or_id():
    for given in ({"yes": 3.0}, {1: 3.0}):
        plain = values(tasks.Binary("t"), [1.0, 0.0], [0.3, 0.3])
        got = values(tasks.Binary("t", class_weight=given), [1.0, 0.0], [0.3, 0.3])
        np.testing.assert_allclose(got, plain * [3, 1], rtol=1e-6)


def test_score_is_scikit_learns(rng):
    truth, p = rng.integers(0, 2, 200), rng.random((200, 1))
    got = tasks.Binary("t").score(truth, p)
    assert got["auc"] == pytest.approx(metrics.roc_auc_score(truth, p[:, 0]))
    assert got["f1"] == pytest.approx(metrics.f1_score(truth, p[:, 0] > 0.5))
    assert np.isnan(tasks.Binary("t").score(np.ones(3), np.ones((3, 1)))["auc"])

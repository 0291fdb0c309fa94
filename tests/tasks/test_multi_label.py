"""MultiLabel: every element is a label of its own."""

import numpy as np
import pytest

from keras_mtl import tasks


def test_balanced_weights_make_positives_weigh_as_much_as_negatives():
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, -1]])
    state = tasks.MultiLabel("t", 2, class_weight="balanced").adapt(labels)
    np.testing.assert_allclose(state["positive_weight"], [4 / 2, 3 / 2])
    np.testing.assert_allclose(state["negative_weight"], [4 / 6, 3 / 4])


def test_score_leaves_out_single_elements():
    truth = np.array([[1, -1], [0, 1], [1, 0]])
    served = np.array([[0.9, 0.9], [0.8, 0.7], [0.2, 0.1]])
    got = tasks.MultiLabel("t", 2).score(truth, served)
    assert got["accuracy"] == pytest.approx(3 / 5)
    assert got["macro_f1"] == pytest.approx((0.5 + 1.0) / 2)
    assert got["macro_auc"] == pytest.approx((0.5 + 1.0) / 2)

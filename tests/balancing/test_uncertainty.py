"""Uncertainty: the paper's objective and its gradient by hand."""

import numpy as np

from keras_mtl import balancing
from keras_mtl.balancing.uncertainty import uncertainty_terms


def test_terms_by_hand():
    """L / sigma^2 + log sigma, with s = log sigma^2 (Kendall et al. 2018, equation 10)."""
    losses, s = np.array([2.0, 0.5]), np.array([np.log(4.0), np.log(0.25)])
    np.testing.assert_allclose(
        np.asarray(uncertainty_terms(losses, s)), [2 / 4 + np.log(2), 0.5 / 0.25 + np.log(0.5)]
    )


def test_an_absent_task_does_not_move_its_variance():
    made = balancing.Uncertainty(initial=1.0)
    made.bind(["a", "b"])
    whole = made.objective(np.array([1.0, 0.0], "float32"), np.array([True, False]))
    np.testing.assert_allclose(float(whole), np.exp(-1) + 0.5, rtol=1e-6)

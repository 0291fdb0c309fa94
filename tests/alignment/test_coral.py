"""CORAL against NumPy's covariances."""

import numpy as np
import pytest

from keras_mtl.alignment.coral import coral
from tests.alignment._samples import gradients, samples


def expected(x, y):
    apart = np.cov(x, rowvar=False) - np.cov(y, rowvar=False)
    return np.square(apart).sum() / (4 * x.shape[1] ** 2)


@pytest.mark.parametrize(("n", "m"), [(10, 14), (5, 5), (2, 30)])
def test_it_is_that_of_numpy(n, m):
    x, y = samples(n, m)
    assert float(coral(x, y)) == pytest.approx(expected(x, y), rel=1e-4)
    assert float(coral(x + 50, y)) == pytest.approx(expected(x, y), rel=1e-3)


def test_a_value_by_hand():
    """Variances of 2 and 8 in one feature: (2 - 8)^2 / 4."""
    x, y = np.array([[-1.0], [1.0]], "float32"), np.array([[-2.0], [2.0]], "float32")
    value, (gradient, _) = gradients(coral, x, y)
    assert float(value) == 9
    # d/dx = 2 (2 - 8) / 4 * dC/dx, dC/dx = 2 (x - mean).
    np.testing.assert_allclose(gradient, [[6.0], [-6.0]])


def test_means_do_not_matter_and_spreads_do():
    x, _ = samples()
    assert float(coral(x, x + 3)) < 1e-8
    assert 0 < float(coral(x, 1.1 * x)) < float(coral(x, 2 * x))

"""InfoNCE against NumPy's log-softmax of cosines."""

import numpy as np
import pytest
from scipy.special import log_softmax

from keras_mtl.alignment.info_nce import InfoNCE, info_nce
from tests.alignment._samples import gradients, samples


def cosines(x, y):
    return (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_it_is_that_of_numpy(temperature):
    x, y = samples(9, 9)
    scores = cosines(x, y) / temperature
    rows, columns = (-np.diag(log_softmax(scores, axis=a)).mean() for a in (1, 0))
    one_way = info_nce(x, y, temperature=temperature, symmetric=False)
    assert float(one_way) == pytest.approx(rows, rel=1e-4)
    both = info_nce(x, y, temperature=temperature)
    assert float(both) == pytest.approx((rows + columns) / 2, rel=1e-4)


def test_values_by_hand():
    """Two orthogonal rows, each with itself: log(1 + e^-1); all alike: log n."""
    x = np.eye(2, dtype="float32")
    assert float(info_nce(x, 3 * x, temperature=1.0)) == pytest.approx(np.log(1 + np.exp(-1)))
    assert float(info_nce(x, x[::-1].copy(), temperature=1.0)) == pytest.approx(np.log(1 + np.e))
    alike = np.ones((7, 3), "float32")
    assert float(info_nce(alike, alike)) == pytest.approx(np.log(7), rel=1e-5)


def test_a_pair_takes_part_where_both_rows_do():
    x, y = samples(6, 6)
    a, b = np.array([1, 1, 1, 0, 1, 1.0]), np.array([1, 0, 1, 1, 1, 1.0])
    kept = [0, 2, 4, 5]
    expected = float(info_nce(x[kept], y[kept]))
    value, (gradient, _) = gradients(lambda u, v: info_nce(u, v, a, b), x, y)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert (gradient[[1, 3]] == 0).all() and (np.abs(gradient[kept]).sum(1) > 0).all()


def test_rows_of_two_domains_are_paired_in_their_order():
    x, y = samples(5, 7)
    domains = np.array([1, 0, 1, 1, 0, 0, 1, -1, 1, 0, 0, 1, 1], "int32")
    features = np.zeros((13, 4), "float32")
    features[domains == 0], features[domains == 1] = x, y
    found = InfoNCE(domains=2).penalty(features, domains)
    assert float(found) == pytest.approx(float(info_nce(x, y[:5])), rel=1e-4)


def test_a_row_of_zeros_has_a_finite_gradient():
    x, y = samples(4, 4)
    x[0] = 0
    value, found = gradients(info_nce, x, y)
    assert np.isfinite(float(value)) and all(np.isfinite(g).all() for g in found)


def test_steps_against_it_pair_rows_up():
    x, y = samples(8, 8)
    for _ in range(60):
        _, (gx, gy) = gradients(info_nce, x, y)
        x, y = x - gx, y - gy
    assert (cosines(x, y).argmax(1) == np.arange(8)).all()

"""Wasserstein distances against SciPy: of numbers on a line, and of the best matching of rows."""

import keras
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from keras_mtl.alignment._sinkhorn import sinkhorn_divergence
from keras_mtl.alignment._sliced import random_directions, sliced_wasserstein
from keras_mtl.alignment.wasserstein import Wasserstein
from tests.alignment._samples import DIRECTIONS, batch, gradients, samples

LINE = np.ones((1, 1), "float32")


@pytest.mark.parametrize(("n", "m", "points"), [(8, 8, 64), (8, 16, 64), (10, 15, 120)])
def test_on_a_line_it_is_that_of_scipy(n, m, points):
    """Exact where both sizes divide the number of quantiles."""
    x, y = (side[:, :1] for side in samples(n, m))
    found = sliced_wasserstein(x, y, directions=LINE, power=1, points=points)
    assert float(found) == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-5)


def test_sizes_that_do_not_divide_the_grid_come_close():
    x, y = (side[:, :1] for side in samples(37, 53))
    expected = wasserstein_distance(x[:, 0], y[:, 0])
    for points, error in ((128, 0.03), (2048, 0.002)):
        found = float(sliced_wasserstein(x, y, directions=LINE, power=1, points=points))
        assert found == pytest.approx(expected, rel=error)


def test_rows_of_weight_zero_are_those_of_weight_zero_in_scipy(rng):
    x, y = (side[:, :1] for side in samples(12, 16))
    a, b = np.repeat([1.0, 0.0], [8, 4]), np.repeat([0.0, 1.0], [8, 8])
    found = sliced_wasserstein(x, y, a, b, directions=LINE, power=1, points=64)
    assert float(found) == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0], a, b), rel=1e-5)


def test_values_by_hand():
    """0 and 4 to 1 and 2: 0 to 1, 4 to 2."""
    x, y = np.array([[4.0], [0.0]], "float32"), np.array([[1.0], [2.0]], "float32")
    assert float(sliced_wasserstein(x, y, directions=LINE, power=1)) == 1.5
    value, (gradient, _) = gradients(lambda a, b: sliced_wasserstein(a, b, directions=LINE), x, y)
    assert float(value) == 2.5  # (1 + 4) / 2
    np.testing.assert_allclose(gradient, [[2.0], [-1.0]])
    # A shift by v: the mean over directions of (v . u)^2, |v|^2 / d.
    x, _ = samples(16, 16)
    lines = random_directions(4, 4000, keras.random.SeedGenerator(0))
    np.testing.assert_allclose(np.square(lines).sum(0), 1, rtol=1e-5)
    moved = x + np.array([2.0, 0, 0, 1], "float32")
    assert float(sliced_wasserstein(x, moved, directions=lines)) == pytest.approx(5 / 4, rel=0.05)


def test_powers():
    x, y = samples()
    with pytest.raises(ValueError, match="`power` of sliced_wasserstein is 3; expected 1 or 2"):
        sliced_wasserstein(x, y, directions=np.eye(4, dtype="float32"), power=3)


def test_lines_are_drawn_anew_and_repeatably():
    features, domains = batch()
    one, other = (Wasserstein(domains=3, projections=2, seed=s) for s in (1, 1))
    first, second = (float(one.penalty(features, domains)) for _ in range(2))
    assert first != second
    assert first == float(other.penalty(features, domains))
    # The first draw of the generator that `DIRECTIONS` came from.
    pairs = [(features[domains == i], features[domains == j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = np.mean([float(sliced_wasserstein(*p, directions=DIRECTIONS)) for p in pairs])
    found = Wasserstein(domains=3, projections=8, seed=5).penalty(features, domains)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n", [6, 15])
def test_with_little_entropy_it_is_the_best_matching(n):
    x, y = samples(n, n)
    costs = cdist(x, y, "sqeuclidean")
    expected = costs[linear_sum_assignment(costs)].mean()
    found = float(sinkhorn_divergence(x, y, epsilon=0.003, iterations=400))
    assert found == pytest.approx(expected, rel=0.02)


def test_with_much_entropy_it_is_the_distance_of_the_means():
    x, y = samples()
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    assert float(sinkhorn_divergence(x, y, epsilon=1e3)) == pytest.approx(apart, rel=0.01)


def test_it_is_that_of_plain_sinkhorn_iterations():
    """In float64, alternating, with the cost and the entropy of the plans themselves."""
    x, y = samples()
    e = 0.2 * cdist(x, y, "sqeuclidean").mean()

    def transport(u, v):
        costs = cdist(u, v, "sqeuclidean")
        k, a, b = np.exp(-costs / e), np.full(len(u), 1 / len(u)), np.full(len(v), 1 / len(v))
        s = np.ones(len(u))
        for _ in range(5000):
            t = 1 / (k.T @ (a * s))
            s = 1 / (k @ (b * t))
        plan = a[:, None] * b * s[:, None] * k * t
        return (plan * costs).sum() + e * (plan * np.log(plan / np.outer(a, b))).sum()

    expected = transport(x, y) - transport(x, x) / 2 - transport(y, y) / 2
    found = sinkhorn_divergence(x, y, epsilon=0.2, iterations=200)
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_the_gradient_of_sinkhorn_needs_no_iterations_back():
    """That of a shift is 2 v / n for each row; of two rows, it is found by differences too."""
    x, _ = samples(9, 9)
    v = np.array([1.0, -2, 0, 3], "float32")
    value, (gradient, _) = gradients(
        lambda a, b: sinkhorn_divergence(a, b, epsilon=0.05, iterations=200), x, x + v
    )
    assert float(value) == pytest.approx(14, rel=1e-3)
    np.testing.assert_allclose(gradient.sum(0), -2 * v, rtol=1e-3, atol=1e-3)
    x, y = samples(5, 6)
    # The unit of epsilon is a constant of the backward pass, so it is held while x moves.
    unit = cdist(x, y, "sqeuclidean").mean()

    def at(moved):
        mean = cdist(moved, y, "sqeuclidean").mean()
        return float(sinkhorn_divergence(moved, y, epsilon=0.2 * unit / mean, iterations=80))

    _, (gradient, _) = gradients(
        lambda a, b: sinkhorn_divergence(a, b, epsilon=0.2, iterations=80), x, y
    )
    for i, j in ((0, 0), (4, 3)):
        step = np.zeros_like(x)
        step[i, j] = 0.05
        slope = (at(x + step) - at(x - step)) / 0.1
        assert gradient[i, j] == pytest.approx(slope, rel=0.02, abs=2e-3)


def test_of_a_sample_and_itself_it_is_nothing_after_any_number_of_iterations():
    x, _ = samples()
    for iterations in (1, 7):
        value, (gradient, _) = gradients(
            lambda a, b, i=iterations: sinkhorn_divergence(a, b, iterations=i), x, x.copy()
        )
        assert abs(float(value)) < 1e-5 and np.abs(gradient).max() < 1e-5

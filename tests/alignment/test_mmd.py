"""MMD against a double loop and scikit-learn, and what its estimates promise."""

import keras
import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from keras_mtl.alignment.mmd import mmd
from tests.alignment._samples import gradients, samples

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def distances(x, y):
    return np.array([[np.square(u - v).sum() for v in y] for u in x], "float64")


def unit(x, y, bandwidth="mean"):
    both = np.concatenate([x, y]).astype("float64")
    pairs = distances(both, both)[np.triu_indices(len(both), 1)]
    return np.mean(pairs) if bandwidth == "mean" else np.median(pairs)


def kernel(x, y, s):
    return np.mean([np.exp(-distances(x, y) / (f * s)) for f in FACTORS], axis=0)


def quadratic(x, y, s, unbiased):
    """Plain sums over rows, from Gretton et al. 2012, section 2.2."""
    total = {"xx": 0.0, "yy": 0.0, "xy": 0.0}
    kxx, kyy, kxy = kernel(x, x, s), kernel(y, y, s), kernel(x, y, s)
    for i in range(len(x)):
        for j in range(len(x)):
            total["xx"] += kxx[i, j] * (i != j or not unbiased)
        for j in range(len(y)):
            total["xy"] += kxy[i, j]
    for i in range(len(y)):
        for j in range(len(y)):
            total["yy"] += kyy[i, j] * (i != j or not unbiased)
    n, m, less = len(x), len(y), int(unbiased)
    return total["xx"] / (n * (n - less)) + total["yy"] / (m * (m - less)) - 2 * total["xy"] / n / m


@pytest.mark.parametrize("bandwidth", ["mean", "median"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("n", "m"), [(10, 14), (7, 7), (2, 3)])
def test_it_is_a_double_loop_over_rows(n, m, unbiased, bandwidth):
    x, y = samples(n, m)
    estimate = "unbiased" if unbiased else "biased"
    expected = quadratic(x, y, unit(x, y, bandwidth), unbiased)
    assert float(mmd(x, y, estimate=estimate, bandwidth=bandwidth)) == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


def test_it_is_that_of_the_kernels_of_scikit_learn():
    x, y = samples()
    s = unit(x, y)
    k = [
        np.mean([rbf_kernel(a, b, gamma=1 / (f * s)).mean() for f in (0.5, 3.0)])
        for a, b in ((x, x), (y, y), (x, y))
    ]
    assert float(mmd(x, y, factors=[0.5, 3.0])) == pytest.approx(k[0] + k[1] - 2 * k[2], rel=1e-4)


def test_a_value_by_hand():
    """Two rows at 0 and two at 1: s = 2/3 of the 6 squared distances 0, 0 and four times 1."""
    x, y = np.zeros((2, 1), "float32"), np.ones((2, 1), "float32")
    expected = 2 - 2 * np.exp(-3 / 2)
    for estimate in ("biased", "unbiased", "linear"):
        assert float(mmd(x, y, factors=[1.0], estimate=estimate)) == pytest.approx(
            expected, rel=1e-5
        )
    # The median of 0, 0, 1, 1, 1, 1.
    assert float(mmd(x, y, factors=[1.0], bandwidth="median")) == pytest.approx(
        2 - 2 * np.exp(-1), rel=1e-5
    )


@pytest.mark.parametrize(("n", "m"), [(8, 8), (9, 6)])
def test_the_linear_estimate_reads_every_row_once(n, m):
    x, y = samples(n, m)
    s, terms = unit(x, y), []
    for i in range(0, min(n, m) - 1, 2):
        x1, x2, y1, y2 = (r[None] for r in (x[i], x[i + 1], y[i], y[i + 1]))
        h = kernel(x1, x2, s) + kernel(y1, y2, s) - kernel(x1, y2, s) - kernel(x2, y1, s)
        terms.append(h.item())
    assert float(mmd(x, y, estimate="linear")) == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("estimate", ["unbiased", "linear"])
def test_without_bias_it_is_nothing_on_average_for_one_distribution(estimate, rng):
    draws = [
        float(mmd(*rng.normal(size=(2, 8, 3)).astype("float32"), estimate=estimate))
        for _ in range(150)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws)) < 3.5 * error
    assert min(draws) < 0
    biased = [float(mmd(*rng.normal(size=(2, 8, 3)).astype("float32"))) for _ in range(20)]
    assert min(biased) > 0 and np.mean(biased) > 0.1


def test_features_may_be_in_any_units_and_far_from_zero():
    x, y = (side.astype("float64") for side in samples())
    expected = float(mmd(x, y))
    for scale, offset in ((1e-3, 0), (1e3, 0), (1, 100)):
        moved = [(scale * side + offset).astype("float32") for side in (x, y)]
        assert float(mmd(*moved)) == pytest.approx(expected, rel=1e-3)


def test_its_gradient_is_that_of_kernels_of_fixed_width():
    x, y = samples(4, 5)
    s, slope = unit(x, y), 1e-4
    _, (gradient, _) = gradients(mmd, x, y)
    for i, j in ((0, 0), (3, 2)):
        up, down = x.astype("float64"), x.astype("float64")
        up[i, j] += slope
        down[i, j] -= slope
        expected = (quadratic(up, y, s, False) - quadratic(down, y, s, False)) / (2 * slope)
        assert gradient[i, j] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_step_against_it_draws_two_samples_together():
    x, y = samples(30, 30, shift=2.0)
    y = keras.ops.convert_to_tensor(y)
    before = float(mmd(x, y))
    for _ in range(30):
        _, (gradient,) = gradients(lambda moved: mmd(moved, y), x)
        x = x - 20 * gradient
    assert float(mmd(x, y)) < 0.2 * before


def test_wrong_arguments_are_named():
    x, y = samples()
    with pytest.raises(ValueError, match="`estimate` of mmd is 'best'; expected one of"):
        mmd(x, y, estimate="best")

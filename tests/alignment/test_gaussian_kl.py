"""Gaussian KL against its closed form in NumPy, and against the mean of log ratios of draws."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from keras_mtl.alignment.gaussian_kl import gaussian_kl
from tests.alignment._samples import gradients, samples


def fits(x, y, covariances, ridge):
    """Means and covariances with the ridge that the docstring states."""
    found = [
        (s.mean(0), np.cov(s, rowvar=False)) for s in (x.astype("float64"), y.astype("float64"))
    ]
    middle = sum(np.diag(c) for _, c in found) / 2 + np.square(found[0][0] - found[1][0]) / 4
    if covariances == "diagonal":
        found = [(m, np.diag(np.diag(c))) for m, c in found]
    return [(m, c + ridge * middle.mean() * np.eye(len(m))) for m, c in found]


def kl(p, q):
    (m, c), (n, d) = p, q
    inverse = np.linalg.inv(d)
    sizes = np.linalg.slogdet(d)[1] - np.linalg.slogdet(c)[1]
    return 0.5 * (np.trace(inverse @ c) + (m - n) @ inverse @ (m - n) - len(m) + sizes)


def in_form(form, p, q):
    if form == "kl":
        return kl(p, q)
    if form == "symmetric":
        return (kl(p, q) + kl(q, p)) / 2
    apart = p[0] - q[0]
    middle = (p[0] + q[0]) / 2, (p[1] + q[1]) / 2 + np.outer(apart, apart) / 4
    # By its entropies: the traces of both parts add up to those of the middle.
    sizes = [np.linalg.slogdet(c)[1] for c in (middle[1], p[1], q[1])]
    if np.count_nonzero(p[1] - np.diag(np.diag(p[1]))):
        return (sizes[0] - sizes[1] / 2 - sizes[2] / 2) / 2
    return (np.log(np.diag(middle[1])).sum() - sizes[1] / 2 - sizes[2] / 2) / 2


@pytest.mark.parametrize("form", ["kl", "symmetric", "js"])
@pytest.mark.parametrize("covariances", ["diagonal", "full"])
@pytest.mark.parametrize("ridge", [1e-3, 0.3])
def test_it_is_the_closed_form(form, covariances, ridge):
    x, y = samples(20, 30)
    x[:, 1] += x[:, 0]
    found = float(gaussian_kl(x, y, form=form, covariances=covariances, ridge=ridge))
    expected = in_form(form, *fits(x, y, covariances, ridge))
    assert found == pytest.approx(expected, rel=1e-4)


def test_it_is_the_mean_log_ratio_of_draws(rng):
    x, y = samples(40, 40, shift=0.5)
    p, q = (multivariate_normal(s.mean(0), np.cov(s, rowvar=False)) for s in (x, y))
    drawn = p.rvs(40000, random_state=rng)
    ratios = p.logpdf(drawn) - q.logpdf(drawn)
    found = float(gaussian_kl(x, y, form="kl", covariances="full", ridge=1e-6))
    assert found == pytest.approx(ratios.mean(), abs=4 * ratios.std() / 200)


def test_the_js_of_fits_is_no_less_than_that_of_the_mixture(rng):
    """Of one dimension, by a sum over a fine grid."""
    x, y = (s[:, :1] for s in samples(30, 30, shift=3.0))
    grid = np.linspace(-15, 15, 20001)
    p, q = (multivariate_normal(s.mean(), s.var(ddof=1)).pdf(grid) for s in (x, y))
    r = (p + q) / 2
    js = (
        sum(np.sum(s * np.log(np.maximum(s, 1e-300) / r)) for s in (p, q)) / 2 * (grid[1] - grid[0])
    )
    found = float(gaussian_kl(x, y, form="js", ridge=1e-6))
    assert js < found < 2 * js
    assert js < np.log(2)


def test_a_value_by_hand():
    """Variances of 1 and means 2 apart: 2^2 / 2, and log(1 + 1) / 2 for the Gaussian in the middle."""
    half = np.sqrt(0.5)
    x = np.array([[-half], [half]], "float32")
    for form, value in (("kl", 2.0), ("symmetric", 2.0), ("js", np.log(2) / 2)):
        for covariances in ("diagonal", "full"):
            found = gaussian_kl(x, x + 2, form=form, covariances=covariances, ridge=1e-6)
            assert float(found) == pytest.approx(value, rel=1e-4)


def test_units_do_not_matter():
    x, y = samples(20, 20)
    for covariances in ("diagonal", "full"):
        expected = float(gaussian_kl(x, y, covariances=covariances))
        for scale in (1e-3, 1e3):
            found = float(gaussian_kl(scale * x, scale * y, covariances=covariances))
            assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("covariances", ["diagonal", "full"])
def test_features_that_do_not_vary_do_no_harm(covariances):
    """A unit that is dead in one domain or both, and more features than rows."""
    x, y = samples(3, 3)
    x[:, 0] = 0
    x[:, 1] = y[:, 1] = 5
    value, found = gradients(lambda a, b: gaussian_kl(a, b, covariances=covariances), x, y)
    assert np.isfinite(float(value)) and all(np.isfinite(g).all() for g in found)


def test_an_overflow_does_not_end_the_run():
    x, y = samples()
    x[0, 0] = np.inf
    value, found = gradients(lambda a, b: gaussian_kl(a, b, covariances="full"), x, y)
    assert np.isfinite(float(value)) and all(np.isfinite(g).all() for g in found)

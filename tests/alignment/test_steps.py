"""A training step of every alignment, as `fit` makes it: compiled in float32, and in half precision."""

import time

import numpy as np
import pytest

from tests.alignment._samples import DISTANCES, DOMAINS, METHODS, batch, trained


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_step(method):
    run = trained(method)
    features, domains = batch()
    begin = time.perf_counter()
    run(features, domains)  # the first step of an adversary reverses with a strength of 0
    compiled = time.perf_counter()
    run(features + 1, domains[::-1].copy())
    assert time.perf_counter() - compiled < (compiled - begin) / 3, "compiled anew for new values"
    out, added, gradient = run(features, domains)
    np.testing.assert_array_equal(out, features)
    assert added.shape == () and added.dtype == "float32" and np.isfinite(added)
    assert np.isfinite(gradient).all() and (gradient[-3:] == 0).all()
    assert (np.abs(gradient[:-3]).sum(0) > 0).all()
    if method in DISTANCES and method != "wasserstein":  # whose lines are drawn anew
        assert added / 2 == pytest.approx(expected_penalty(method, features, domains), rel=2e-4)
    # One domain alone, none, and one that is not among the three.
    for of_all in (0, -1, DOMAINS):
        _, added, gradient = run(features, np.full(24, of_all, "int32"))
        assert added == 0 and (gradient == 0).all()
    if method != "adversarial":  # which reads rows one by one
        alone = np.where(np.arange(24) == 5, 2, 0).astype("int32")
        _, added, gradient = run(features, alone)
        assert added == 0 and (gradient == 0).all()
        two = np.minimum(domains, 1)
        two[5] = 2
        if method != "wasserstein":
            expected = run(features, np.where(two == 2, -1, two).astype("int32"))[1]
            assert run(features, two)[1] == pytest.approx(expected, rel=1e-4)
    # Rows that are all alike.
    for value in (0.0, 7.3):
        _, added, gradient = run(np.full((24, 4), value, "float32"), domains)
        assert np.isfinite(added) and np.isfinite(gradient).all()
        assert abs(added) < 1e-4 or method in ("info_nce", "adversarial")


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_half_precision(method):
    features, domains = batch()
    run = trained(method, "mixed_float16", compiled=method == "mmd")
    out, added, gradient = run(features.astype("float16"), domains)
    assert out.dtype == "float16" and added.dtype == "float32" and gradient.dtype == "float16"
    np.testing.assert_array_equal(out, features.astype("float16"))
    assert np.isfinite(added) and np.isfinite(gradient).all()
    if method in DISTANCES and method != "wasserstein":
        expected = expected_penalty(method, features, domains)
        assert added / 2 == pytest.approx(expected, rel=0.02)


def expected_penalty(method, features, domains):
    """The mean over pairs of domains, the rows of each taken out by NumPy."""
    rows = [features[domains == d] for d in range(DOMAINS)]
    pairs = [(rows[i], rows[j]) for i in range(DOMAINS) for j in range(i + 1, DOMAINS)]
    return np.mean([float(DISTANCES[method](x, y)) for x, y in pairs])

"""CKA and RSA: what they must not see, what they must, and the sums written out."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from keras_mtl.evaluation.similarity import cka, hsic, rsa, similarities

WAYS = [
    {"kernel": kernel, "debiased": debiased}
    for kernel in ("linear", "rbf")
    for debiased in (False, True)
]


@pytest.fixture
def pair(rng):
    """Two representations that have something in common."""
    x = rng.normal(size=(12, 5))
    return x, np.tanh(x[:, :3] @ rng.normal(size=(3, 4))) + 0.5 * rng.normal(size=(12, 4))


def kernel_by_loops(rows, kernel):
    n = len(rows)
    apart = [np.sqrt(((rows[i] - rows[j]) ** 2).sum()) for i in range(n) for j in range(i)]
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            squared = ((rows[i] - rows[j]) ** 2).sum()
            rbf = np.exp(-squared / (2 * np.median(apart) ** 2))
            found[i, j] = rows[i] @ rows[j] if kernel == "linear" else rbf
    return found


def hsic_by_loops(k, m, debiased):
    """Gretton et al. 2005, eq. 4, written out; Song et al. 2012, as a mean over distinct rows."""
    n = len(k)
    total = 0.0
    if not debiased:
        for i in range(n):
            for j in range(n):
                means = m[i, j] - m[i].mean() - m[:, j].mean() + m.mean()
                total += k[i, j] * means
        return total / (n - 1) ** 2
    pairs, triples, quads = [], [], []
    for i in range(n):
        for j in set(range(n)) - {i}:
            pairs.append(k[i, j] * m[i, j])
            for q in set(range(n)) - {i, j}:
                triples.append(k[i, j] * m[i, q])
                for r in set(range(n)) - {i, j, q}:
                    quads.append(k[i, j] * m[q, r])
    return np.mean(pairs) + np.mean(quads) - 2 * np.mean(triples)


@pytest.mark.parametrize("way", WAYS)
def test_cka_is_the_double_loop(pair, way):
    kernels = [kernel_by_loops(rows, way["kernel"]) for rows in pair]
    debiased = way["debiased"]
    of = {(i, j): hsic_by_loops(kernels[i], kernels[j], debiased) for i in (0, 1) for j in (0, 1)}
    expected = of[0, 1] / np.sqrt(of[0, 0] * of[1, 1])
    assert cka(*pair, **way) == pytest.approx(expected, rel=1e-9)
    assert hsic(*kernels, debiased=debiased) == pytest.approx(of[0, 1], rel=1e-9)


@pytest.mark.parametrize("debiased", [False, True])
def test_wide_features_give_what_narrow_ones_do(rng, debiased):
    """Past n features the n x n kernel is used: features of zeros change nothing."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    wide = np.hstack([x, np.zeros((8, 20))])
    assert cka(wide, y, debiased=debiased) == pytest.approx(cka(x, y, debiased=debiased))
    assert cka(x.reshape(8, 1, 3), y, debiased=debiased) == cka(x, y, debiased=debiased)


@pytest.mark.parametrize("way", WAYS)
def test_cka_does_not_see_turns_scales_and_shifts_but_any_linear_map(pair, rng, way):
    x, y = pair
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    assert cka(1e3 * x @ turn + 7, y, **way) == pytest.approx(cka(x, y, **way), rel=1e-6)
    assert cka(x, -2 * x @ turn, **way) == pytest.approx(1)
    assert cka(x, y, **way) == pytest.approx(cka(y, x, **way))
    stretch = np.diag([1.0, 1, 1, 1, 30])
    assert cka(x, x @ stretch, **way) < 0.9


def test_only_the_biased_estimate_takes_wide_noise_for_likeness(rng):
    x, y = rng.normal(size=(40, 2000)), rng.normal(size=(40, 2000))
    assert cka(x, y) > 0.9
    assert abs(cka(x, y, debiased=True)) < 0.05


@pytest.mark.parametrize(
    ("distance", "metric"),
    [("correlation", "correlation"), ("cosine", "cosine"), ("euclidean", "euclidean")],
)
def test_rsa_is_scipys_spearman_of_scipys_distances(pair, distance, metric):
    x, y = pair
    expected = spearmanr(pdist(x, metric), pdist(y, metric)).statistic
    assert rsa(x, y, distance=distance) == pytest.approx(expected, abs=1e-12)


def test_rsa_of_ties_takes_mean_ranks_and_reads_order_alone():
    x = np.array([[0.0], [1.0], [3.0], [7.0], [8.0]])
    y = np.array([[0.0], [2.0], [3.0], [3.0], [9.0]])
    expected = spearmanr(pdist(x), pdist(y)).statistic
    assert rsa(x, y, distance="euclidean") == pytest.approx(expected)
    powers = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    # The larger of two rows orders every pair alike in both, so that only ranks of pairs are seen.
    assert rsa(powers, 3.0 ** np.arange(5)[:, None], distance="euclidean") == pytest.approx(1)


def test_every_task_against_every_other(rng):
    x = rng.normal(size=(30, 4))
    found = similarities({"a": x, "b": 2 * x[:, ::-1], "c": rng.normal(size=(30, 4))})
    assert found["a", "b"] == pytest.approx(1) and found["a", "c"] < 0.5
    np.testing.assert_allclose(found.matrix, found.matrix.T)
    np.testing.assert_allclose(np.diag(found.matrix), 1)
    assert similarities({"a": x, "b": x}, rsa).kind == "rsa"


def test_what_cannot_be_compared_is_refused(rng):
    x = rng.normal(size=(6, 3))
    with pytest.raises(ValueError, match=r"`x` has 6 rows and `y` has 5"):
        cka(x, x[:5])
    with pytest.raises(ValueError, match="expected \\(n, d\\) with n of 4 or more"):
        cka(x[:3], x[:3], debiased=True)
    with pytest.raises(ValueError, match="rows of `y` have nothing to compare"):
        cka(x, np.ones((6, 2)))
    with pytest.raises(ValueError, match="`x` holds NaN"):
        rsa(np.full((6, 3), np.nan), x)
    with pytest.raises(ValueError, match="Row 2 of `y` is constant and has no correlation"):
        rsa(x, np.vstack([x[:2], np.ones((4, 3))]))
    with pytest.raises(ValueError, match="equally far"):
        rsa(x, np.eye(6), distance="euclidean")
    with pytest.raises(ValueError, match="median distance"):
        cka(x, np.eye(6)[[0, 0, 0, 0, 0, 1]], kernel="rbf")
    for call in (lambda: cka(x, x, kernel="cubic"), lambda: rsa(x, x, distance="cubic")):
        with pytest.raises(ValueError, match="is 'cubic'; expected one of"):
            call()
    with pytest.raises(ValueError, match="`bandwidth` is 0"):
        cka(x, x, kernel="rbf", bandwidth=0)
    with pytest.raises(ValueError, match=r"shapes \(6, 3\) and \(6, 3\)"):
        hsic(x, x)

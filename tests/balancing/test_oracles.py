"""Every method against NumPy and SciPy written from its paper, another way than the code goes."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.linalg import sqrtm
from scipy.optimize import minimize, nnls

from keras_mtl import balancing
from keras_mtl.balancing._draws import uniform
from keras_mtl.balancing._sorting import in_order
from tests.balancing._gramians import gramian, jacobians

# Two gradients in conflict, and the weights that are known for them.
GOLDEN = np.array([[-4.0, 1, 1], [6, 1, 1]], "float32")
PROBLEMS = [
    (k, kind) for k in (2, 3, 6) for kind in ("random", "conflicting", "aligned", "identical")
]


def simplex(objective, k):
    """The minimum of a convex objective over weights that sum to 1."""
    sums = {"type": "eq", "fun": lambda w: w.sum() - 1}
    starts = [np.full(k, 1 / k), *(0.9 * np.eye(k) + 0.1 / k)]
    found = [
        minimize(objective, s, bounds=[(0, 1)] * k, constraints=sums, method="SLSQP",
                 options={"ftol": 1e-14, "maxiter": 2000})
        for s in starts
    ]  # fmt: skip
    return min(found, key=lambda r: r.fun).x


def mgda(j):
    """The shortest vector of the convex hull (Desideri 2012)."""
    scale = np.linalg.norm(j)
    return simplex(lambda w: np.square(w @ j / scale).sum(), len(j)) @ j


def onto_dual_cone(j, vector):
    """The nearest d with J d >= 0: by Moreau, what is left of the projection onto {-J^T u}."""
    u, _ = nnls(-j.T, vector, maxiter=1000)
    return vector + u @ j


def upgrad(j):
    """The mean of the projections of the gradients (Quinton and Rey 2024)."""
    return np.mean([onto_dual_cone(j, g) for g in j], axis=0)


def dualproj(j):
    """The projection of the mean gradient (Lopez-Paz and Ranzato 2017)."""
    return onto_dual_cone(j, j.mean(0))


def cagrad(j, c=0.5):
    """The primal problem: the best worst improvement in the ball (Liu et al. 2021, eq. 2)."""
    mean = j.mean(0)
    size = c * np.linalg.norm(mean)
    base, _ = np.linalg.qr(j.T)
    inside = {
        "type": "ineq",
        "fun": lambda z: size**2 - np.square(z[:-1] - mean @ base).sum(),
        "jac": lambda z: np.append(-2 * (z[:-1] - mean @ base), 0),
    }
    above = {
        "type": "ineq",
        "fun": lambda z: j @ base @ z[:-1] - z[-1],
        "jac": lambda z: np.hstack([j @ base, -np.ones((len(j), 1))]),
    }
    start = np.append(mean @ base, (j @ mean).min())
    best = minimize(
        lambda z: -z[-1], start, jac=lambda z: np.append(np.zeros(len(z) - 1), -1.0),
        constraints=[inside, above], method="SLSQP", options={"ftol": 1e-13, "maxiter": 2000},
    )  # fmt: skip
    return base @ best.x[:-1]


def imtl_g(j):
    """Equal projections onto all unit gradients, by the closed form (Liu et al. 2021, eq. 8)."""
    unit = j / np.linalg.norm(j, axis=1, keepdims=True)
    if len(j) == 1:
        return j[0]
    d, u = j[0] - j[1:], unit[0] - unit[1:]
    rest = j[0] @ u.T @ np.linalg.pinv(d @ u.T)
    return np.concatenate([[1 - rest.sum()], rest]) @ j


def fair(j, alpha):
    """The best sum of alpha-fair utilities of the gains, over the weights (Ban and Ji 2024)."""
    g = j @ j.T
    p = 1 - 1 / alpha

    def objective(logs):
        w = np.exp(logs)
        barrier = logs.sum() if p == 0 else (w**p / p).sum()
        slope = (g @ w - w ** (p - 1)) * w
        return w @ g @ w / 2 - barrier, slope

    best = minimize(objective, np.zeros(len(j)), jac=True, method="BFGS", options={"gtol": 1e-10})
    return np.exp(best.x) @ j


def nash_mtl(j):
    """Proportional fairness, at a length of 1 at the most (Navon et al. 2022)."""
    step = fair(j, 1.0)
    return step / max(np.linalg.norm(step), 1.0)


def aligned_mtl(j):
    """The mean of the rows of the aligned Jacobian, by its SVD (Senushkin et al. 2023)."""
    u, s, vt = np.linalg.svd(j, full_matrices=False)
    kept = s > 1e-3 * s.max()
    return (s[kept].min() * u[:, kept] @ vt[kept]).mean(0)


def config(j):
    """The pseudo-inverse of the unit gradients, and its length (Liu et al. 2024, eq. 2 and 3)."""
    unit = j / np.linalg.norm(j, axis=1, keepdims=True)
    direction = np.linalg.pinv(unit, rcond=1e-3) @ np.ones(len(j))
    direction /= np.linalg.norm(direction)
    return (j @ direction).sum() * direction


def krum(j):
    """The one gradient nearest to its K - 2 nearest (Blanchard et al. 2017)."""
    distances = [sorted(np.square(g - h).sum() for h in j)[1:] for g in j]
    near = max(len(j) - 2, 1)
    return j[np.argmin([sum(d[:near]) for d in distances])]


ORACLES = {
    "mgda": mgda, "upgrad": upgrad, "dualproj": dualproj, "cagrad": cagrad, "imtl_g": imtl_g,
    "fairgrad": lambda j: fair(j, 2.0), "nash_mtl": nash_mtl, "aligned_mtl": aligned_mtl,
    "config": config, "krum": krum,
}  # fmt: skip


def weights_of(name, j, **options):
    made = type(balancing.get(name))(**options)
    made.bind([f"t{i}" for i in range(len(j))])
    k = len(j)
    return np.asarray(
        made.weigh(ops.convert_to_tensor(gramian(j)), np.ones(k, "float32"), np.ones(k, bool))
    )


@pytest.mark.parametrize(("k", "kind"), PROBLEMS)
@pytest.mark.parametrize("name", ORACLES)
def test_the_step_is_that_of_the_paper(name, k, kind):
    j = jacobians(k)[kind].astype("float64")
    plain = kind == "identical" and name in ("imtl_g", "krum")
    expected = j[0] if plain else ORACLES[name](j)
    got = weights_of(name, jacobians(k)[kind]) @ j
    assert np.linalg.norm(got - expected) <= 3e-3 * np.linalg.norm(j.mean(0)) + 1e-6


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mgda", {}, [0.6, 0.4]),
        ("cagrad", {"c": 0.5}, [0.7041, 0.5]),
        ("imtl_g", {}, [0.5923, 0.4077]),
        ("aligned_mtl", {}, [0.5591, 0.4083]),
        ("upgrad", {}, [1.1109, 0.7894]),
        ("dualproj", {}, [0.6109, 0.5]),
        ("fairgrad", {"alpha": 1.0}, [0.5915, 0.4071]),
        ("pcgrad", {}, [2.2222, 1.5789]),
        ("gradvac", {}, [2.2222, 1.5789]),
    ],
)
def test_weights_that_are_known(name, options, expected):
    np.testing.assert_allclose(weights_of(name, GOLDEN, **options), expected, atol=1e-3)


def test_pcgrad_is_algorithm_1_of_the_paper():
    from keras_mtl.balancing.pcgrad import pcgrad_weights

    rng = np.random.default_rng(0)
    j = jacobians(5)["conflicting"].astype("float64")
    order = np.array([rng.permutation(5) for _ in range(5)])
    total = np.zeros(j.shape[1])
    for i in range(5):
        g = j[i].copy()
        for other in order[i]:
            if other != i and g @ j[other] < 0:
                g -= g @ j[other] / (j[other] @ j[other]) * j[other]
        total += g
    got = np.asarray(pcgrad_weights(ops.convert_to_tensor(gramian(j)), order)) @ j
    np.testing.assert_allclose(got, total, rtol=1e-3, atol=1e-4)


def test_gradvac_is_algorithm_1_of_the_paper():
    from keras_mtl.balancing.gradvac import gradvac_weights

    rng = np.random.default_rng(0)
    j = jacobians(4)["random"].astype("float64")
    order = np.array([rng.permutation(4) for _ in range(4)])
    usual = rng.uniform(-0.2, 0.4, (4, 4))
    expected_usual, total = usual.copy(), np.zeros(j.shape[1])
    for i in range(4):
        g = j[i].copy()
        for other in order[i]:
            if other == i:
                continue
            h = j[other]
            size, length = np.linalg.norm(g), np.linalg.norm(h)
            cosine, goal = g @ h / size / length, usual[i, other]
            if cosine < goal:
                g = g + h * size * (
                    goal * np.sqrt(1 - cosine**2) - cosine * np.sqrt(1 - goal**2)
                ) / (length * np.sqrt(1 - goal**2))
            expected_usual[i, other] = 0.99 * goal + 0.01 * cosine
        total += g
    weights, moved = gradvac_weights(
        ops.convert_to_tensor(gramian(j)), order, ops.cast(usual, "float32"), beta=0.01
    )
    np.testing.assert_allclose(np.asarray(weights) @ j, total, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved, expected_usual, rtol=1e-3, atol=1e-5)


def test_aligned_mtl_is_orthogonal():
    """The aligned gradients of the paper: B = s G^(-1/2), whose rows times J are orthogonal."""
    j = jacobians(3)["random"].astype("float64")
    b = np.real(sqrtm(np.linalg.inv(j @ j.T)))
    smallest = np.sqrt(np.linalg.eigvalsh(j @ j.T)[0])
    np.testing.assert_allclose(weights_of("aligned_mtl", j), smallest * b.mean(0), rtol=2e-3)


@pytest.mark.parametrize("k", [3, 4])
def test_other_scales_of_aligned_mtl(k):
    j = jacobians(k)["random"].astype("float64")
    values = np.linalg.eigvalsh(j @ j.T)
    root = np.real(sqrtm(np.linalg.inv(j @ j.T))).mean(0)
    for scale, square in (("median", np.sort(values)[(k - 1) // 2]), ("rmse", values.mean())):
        got = weights_of("aligned_mtl", j, scale=scale)
        np.testing.assert_allclose(got, np.sqrt(square) * root, rtol=2e-3, err_msg=scale)


def test_normalisations_of_mgda():
    """Each gradient is divided where the weights are found, and there alone."""
    j = jacobians(3)["random"].astype("float64")
    losses, norms = np.array([1.0, 5.0, 0.2]), np.linalg.norm(j, axis=1)
    for normalisation, size in (("l2", norms), ("loss", losses), ("loss+", losses * norms)):
        made = balancing.MGDA(normalisation)
        made.bind(["a", "b", "c"])
        got = made.weigh(gramian(j), losses.astype("float32"), np.ones(3, bool))
        scaled = j / size[:, None]
        expected = simplex(lambda w, scaled=scaled: np.square(w @ scaled).sum(), 3)
        np.testing.assert_allclose(got, expected, atol=2e-3, err_msg=normalisation)


def test_options_that_change_the_step():
    j = jacobians(4)["conflicting"].astype("float64")
    np.testing.assert_allclose(weights_of("cagrad", j, c=0.0), 0.25, atol=1e-5)
    free = weights_of("nash_mtl", j, max_norm=0.0)
    for scale in (1e-6, 1.0, 1e6):  # the units of the losses do not matter
        step = weights_of("nash_mtl", scale * j, max_norm=0.0) @ j * scale
        np.testing.assert_allclose(step, free @ j, rtol=1e-3)
        assert np.linalg.norm(step) == pytest.approx(2.0, rel=1e-3)  # sqrt(K)
    short = weights_of("nash_mtl", j, max_norm=0.1)
    assert np.linalg.norm(short @ j) == pytest.approx(0.1, rel=1e-3)
    np.testing.assert_allclose(short / short.sum(), free / free.sum(), rtol=1e-4)
    assert sorted(weights_of("krum", j, selected=2)) == pytest.approx([0, 0, 0.5, 0.5])
    outlier = np.vstack([np.ones((4, 3)), [[100.0, -100, 50]]])
    assert weights_of("krum", outlier, byzantine=1, selected=4)[4] == 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_imtl_g_gives_no_weight_to_a_gradient_that_is_zero(scale):
    j = jacobians(3)["random"] * scale
    alone = weights_of("imtl_g", j[1:])
    got = weights_of("imtl_g", np.concatenate([0 * j[:1], j[1:]]))
    np.testing.assert_allclose(got, [0, *alone], rtol=1e-3)


def test_gradnorm_moves_weights_against_the_slope_of_its_loss():
    made = balancing.GradNorm(alpha=1.0, learning_rate=0.1)
    made.bind(["a", "b"])
    g = np.diag([4.0, 16.0]).astype("float32")  # norms 2 and 4, of mean 3
    there = np.ones(2, bool)
    np.testing.assert_array_equal(made.weigh(g, np.array([1.0, 1.0], "float32"), there), [1, 1])
    # Both have the goal 1; the first is below it and rises by 0.1 * 2/3, the second falls by 0.1 * 4/3.
    raw = np.array([1 + 0.1 * 2 / 3, 1 - 0.1 * 4 / 3])
    got = made.weigh(g, np.array([1.0, 1.0], "float32"), there)
    np.testing.assert_allclose(got, 2 * raw / raw.sum(), rtol=1e-5)


def test_losses_of_the_papers():
    losses, here = np.array([1.0, 4.0, 2.0], "float32"), np.array([True, True, False])
    gls, imtl_l, stch = balancing.GLS(), balancing.IMTLL(), balancing.STCH(mu=0.5, warmup_epochs=1)
    for made in (gls, imtl_l, stch):
        made.bind(["a", "b", "c"])
    assert float(gls.objective(losses, here)) == pytest.approx(2.0)
    imtl_l.log_scales.assign([0.5, -0.5, 9.0])
    expected = np.exp(0.5) * 1 - 0.5 + np.exp(-0.5) * 4 + 0.5
    assert float(imtl_l.objective(losses, here)) == pytest.approx(expected, rel=1e-5)
    assert float(stch.objective(losses, here)) == pytest.approx(np.log(4.0), rel=1e-5)
    stch.on_epoch_end()
    np.testing.assert_allclose(stch.nadir, [1, 4, 1])
    got = float(stch.objective(np.array([2.0, 2.0, 0.0], "float32"), here))
    assert got == pytest.approx(3 * 0.5 * np.log(2.0**2 + 0.5**2), rel=1e-5)


@pytest.mark.parametrize("k", range(1, 18))
def test_rows_are_sorted_entry_by_entry(k, rng):
    rows = rng.normal(size=(k, 50)).astype("float32")
    np.testing.assert_array_equal(np.stack(in_order(list(rows))), np.sort(rows, axis=0))


def test_draws_are_uniform_and_new_at_each_step():
    """Moments, neighbours and steps of a large draw, against those of independent uniform numbers."""
    generator = keras.random.SeedGenerator(1)
    one, two = (np.asarray(uniform((300, 400), generator)) for _ in range(2))
    for draws in (one, two):
        assert draws.min() >= 0 and draws.max() < 1
        counts = np.histogram(draws, 16, (0, 1))[0]
        assert np.square(counts / 7500 - 1).sum() * 7500 < 40  # chi-square with 15 degrees
        for shifted in (draws[1:].ravel(), draws[:-1].ravel()):
            assert abs(np.corrcoef(shifted, np.roll(shifted, 1))[0, 1]) < 0.01
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.01


def test_entries_of_the_gradients():
    g = np.array([[1.0, -1, 3, 0], [2.0, 1, -1, 0], [3.0, 5, 1, 0]], "float32")
    here = np.array([True, True, True])
    np.testing.assert_allclose(balancing.TrimmedMean(1).combine(g, here), [2, 1, 1, 0])
    np.testing.assert_allclose(
        balancing.TrimmedMean(1).combine(g, here & [1, 1, 0]), [1.5, 0, 1, 0]
    )
    np.testing.assert_allclose(balancing.SignAgreement().combine(g, here), [2, 0, 0, 0])
    np.testing.assert_allclose(balancing.SignAgreement(0.3).combine(g, here), [2, 5 / 3, 1, 0])
    from keras_mtl.balancing.graddrop import graddrop

    # Purities: 1, (1 + 5/7) / 2, (1 + 3/5) / 2, 1/2.
    low, high = np.full(4, 0.79, "float32"), np.full(4, 0.86, "float32")
    np.testing.assert_allclose(graddrop(g, low, leak=0.0), [6, 6, 4, 0])
    np.testing.assert_allclose(graddrop(g, high, leak=0.0), [6, -1, -1, 0])
    np.testing.assert_allclose(graddrop(g, high, leak=0.5), [6, 2, 1, 0])

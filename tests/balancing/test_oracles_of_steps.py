"""Methods with a state or a program of their own, over several steps, against NumPy and SciPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.optimize import linprog, minimize

from keras_mtl import balancing
from tests.balancing._gramians import gramian, jacobians

HERE = np.ones(3, bool)


def bound(balancer, k=3):
    balancer.bind([f"t{i}" for i in range(k)])
    return balancer


def steps(k=3, n=4, seed=0):
    """Gradients and losses of some steps in a row, `(K, P)` and `(K,)`."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(k, 10)) * [[1.0], [3.0], [0.3]][:k], rng.uniform(0.5, 2, k))
        for _ in range(n)
    ]


def on_simplex(v):
    """The nearest point of the simplex, by bisection on the threshold."""
    low, high = v.min() - 1, v.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(v - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(v - high, 0)


class Torch:
    """Adam as the paper states it."""

    def __init__(self, value, rate):
        self.value, self.rate, self.m, self.v, self.t = np.array(value, float), rate, 0.0, 0.0, 0

    def step(self, gradient):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        self.value = self.value - self.rate * m / (np.sqrt(v) + 1e-8)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def test_famo_is_algorithm_1_of_the_paper():
    made, oracle = bound(balancing.FAMO(learning_rate=0.1, decay=0.01)), Torch(np.zeros(3), 0.1)
    for (_, losses), (_, after) in zip(steps(), steps(seed=1), strict=True):
        z = softmax(oracle.value)
        expected = z / losses / (z / losses).sum()
        weights = slopes_of(made, losses)
        np.testing.assert_allclose(weights, expected, rtol=1e-4)
        fall = np.log(losses) - np.log(after)
        oracle.step((np.diag(z) - np.outer(z, z)) @ fall + 0.01 * oracle.value)
        made.after_step(ops.convert_to_tensor(after, "float32"), HERE)
    np.testing.assert_allclose(made.logits.value, oracle.value, rtol=1e-4)


def slopes_of(made, losses, present=HERE):
    """The weights of a balancer of losses: the slopes of its objective."""
    import tensorflow as tf

    losses = tf.constant(losses, "float32")
    with tf.GradientTape() as tape:
        tape.watch(losses)
        stated = made.objective(losses, ops.convert_to_tensor(present))
    return tape.gradient(stated, losses).numpy()


def test_dtp_is_the_focal_loss_of_the_performance():
    made = bound(balancing.DTP(gamma=2.0, momentum=0.5))
    first, second = np.array([0.1, 1.0, 2.0]), np.array([0.2, 0.5, 3.0])
    p = np.exp(-first)
    np.testing.assert_allclose(slopes_of(made, first), -((1 - p) ** 2) * np.log(p), rtol=1e-4)
    p = 0.5 * p + 0.5 * np.exp(-second)
    np.testing.assert_allclose(slopes_of(made, second), -((1 - p) ** 2) * np.log(p), rtol=1e-4)


def test_losses_that_a_preference_weighs():
    losses = np.array([1.0, 4.0, 3.0])
    chebyshev = bound(balancing.Chebyshev({"t1": 0.5, "t2": 2.0}, ideal={"t2": 1.0}))
    # 1 * 1, 0.5 * 4 and 2 * (3 - 1): the last is worst off.
    np.testing.assert_allclose(slopes_of(chebyshev, losses), [0, 0, 2])
    np.testing.assert_allclose(slopes_of(chebyshev, losses, [True, True, False]), [0, 0.5, 0])
    pbi = bound(balancing.PBI({"t0": 0.0, "t1": 3.0, "t2": 4.0}, theta=2.0))
    direction = np.array([0, 0.6, 0.8])
    away = losses - (losses @ direction) * direction
    expected = direction + 2.0 * away / np.linalg.norm(away)
    np.testing.assert_allclose(slopes_of(pbi, losses), expected, rtol=1e-4)
    cosmos = bound(balancing.COSMOS({"t0": 2.0}, pull=3.0))
    r = np.array([2.0, 1, 1])
    size = np.linalg.norm(losses)
    cosine = r @ losses / np.linalg.norm(r) / size
    slope = r - 3.0 * (r / np.linalg.norm(r) / size - cosine * losses / size**2)
    np.testing.assert_allclose(slopes_of(cosmos, losses), slope, rtol=1e-4)


def test_rlw_draws_from_the_simplex():
    for distribution, spread in (("normal", None), ("dirichlet", 2 / (9 * 4))):
        made = bound(balancing.RLW(distribution, seed=1))
        draw = tf.function(made.task_weights)
        draws = np.array([draw(ops.ones(3)) for _ in range(3000)]) / 3
        np.testing.assert_allclose(draws.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(draws.mean(0), 1 / 3, atol=0.02)
        if spread:  # of a flat Dirichlet: p (1 - p) / (K + 1)
            np.testing.assert_allclose(draws.var(0), spread, rtol=0.1)


def test_cr_mogm_smooths_another_balancers_weights():
    made, mgda = bound(balancing.CRMOGM(momentum=0.8)), bound(balancing.MGDA())
    mean = None
    for j, losses in steps():
        found = np.asarray(mgda.weigh(gramian(j), losses.astype("float32"), HERE))
        mean = found if mean is None else 0.8 * mean + 0.2 * found
        got = made.weigh(gramian(j), losses.astype("float32"), HERE)
        np.testing.assert_allclose(got, mean, rtol=1e-3, atol=1e-5)
    with pytest.raises(TypeError, match="smooths the weights of a balancer by the Gramian"):
        balancing.CRMOGM("mgda")


@pytest.mark.parametrize("k", [2, 4])
def test_pcd_is_the_nearest_step_that_keeps_its_promises(k):
    made = bound(balancing.PCD(tau=0.3, momentum=0.0), k)
    for kind in ("random", "aligned", "conflicting"):
        j = jacobians(k)[kind].astype("float64")
        unit = j / np.linalg.norm(j, axis=1, keepdims=True)
        keeps = {
            "type": "ineq",
            "fun": lambda d, u=unit: u[1:] @ d - 0.3,
            "jac": lambda d, u=unit: u[1:],
        }
        found = minimize(
            lambda d, u=unit: (np.square(d - u[0]).sum() / 2, d - u[0]), unit[0], jac=True,
            constraints=[keeps], method="SLSQP", options={"ftol": 1e-13, "maxiter": 1000},
        )  # fmt: skip
        if not found.success:
            continue
        expected = found.x / np.linalg.norm(found.x) * np.linalg.norm(j[0])
        got = np.asarray(made.weigh(gramian(j), np.ones(k, "float32"), np.ones(k, bool))) @ j
        np.testing.assert_allclose(got, expected, rtol=5e-3, atol=5e-3 * np.abs(j[0]).max())


def test_pcd_drops_promises_that_cannot_be_kept():
    g = np.array([[1.0, 0, 0], [0, 1, 1], [0, -1, -1]])
    got = bound(balancing.PCD(tau=0.5)).weigh(gramian(g), np.ones(3, "float32"), HERE)
    np.testing.assert_allclose(got, [1, 0, 0], atol=1e-4)
    last = bound(balancing.PCD("t2", tau=0.0)).weigh(
        gramian(g[:2].repeat(2, 0)[:3]), np.ones(3, "float32"), HERE
    )
    assert last[2] > 0.99
    with pytest.raises(ValueError, match="t9"):
        bound(balancing.PCD("t9"))


def test_epo_is_the_linear_program_of_the_paper():
    r = np.array([1.0, 2.0, 0.5])
    made = bound(balancing.EPO(dict(zip(("t0", "t1", "t2"), r, strict=True))))
    for near in (False, True):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            j, losses = rng.normal(size=(3, 8)), rng.uniform(0.5, 3, 3)
            losses = 1.5 / r * rng.uniform(0.995, 1.005, 3) if near else losses
            c = j @ j.T
            shares = r * losses / (r * losses).sum()
            entropy = (shares * np.log(3 * shares)).sum()
            a = r * (np.log(3 * shares) - entropy)
            pulled = c @ a
            if near:
                aim, rows, floor = c.sum(1), np.vstack([c, pulled]), [0, 0, 0, min(pulled.max(), 0)]
            else:
                aim, rows, floor = pulled, c, np.where(pulled > 0, -np.inf, pulled)
                floor[np.argmax(shares)] = 0
                floor = floor if (pulled > 0).any() else np.zeros(3)
            floor = np.array(floor)
            used = np.isfinite(floor)
            found = linprog(
                -aim, A_ub=-rows[used], b_ub=-floor[used], A_eq=np.ones((1, 3)), b_eq=[1]
            )
            got = np.asarray(made.weigh(gramian(j), losses.astype("float32"), HERE))
            if found.status == 2:  # nothing meets the conditions
                np.testing.assert_allclose(got, r / r.sum(), rtol=1e-4)
                continue
            assert got @ aim >= found.x @ aim - 1e-3 * np.abs(aim).max(), (near, seed)
            assert (rows[used] @ got >= floor[used] - 1e-3 * np.abs(rows[used]).max(1)).all(), (
                near,
                seed,
            )


def test_epo_reaches_the_wanted_proportion_on_a_front():
    """Two quadratics of one variable each way: descent ends where r_1 L_1 = r_2 L_2."""
    made = bound(balancing.EPO({"t0": 1.0, "t1": 4.0}), 2)
    ends = (np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
    weigh = tf.function(made.weigh)
    x = np.array([0.9, 0.8])
    for _ in range(300):
        j = np.stack([2 * (x - end) for end in ends])
        losses = np.array([np.square(x - end).sum() for end in ends])
        weights = weigh(gramian(j), tf.constant(losses, tf.float32), tf.constant([True, True]))
        x = x - 0.05 * np.asarray(weights) @ j
    # On the front x_2 = 0; (x - 1)^2 = 4 (x + 1)^2 at x = -1/3.
    np.testing.assert_allclose(x, [-1 / 3, 0], atol=0.03)


class Followed:
    """Runs a balancer that follows gradients, a variable at a time, as the engine does."""

    def __init__(self, made):
        a, b = keras.Variable(np.zeros((2, 2), "float32")), keras.Variable(np.zeros(6, "float32"))
        self.made, self.variables = made, [a, b]
        made.bind(["t0", "t1", "t2"], self.variables)

    def step(self, j, losses, present=HERE):
        j, losses = j.astype("float32"), losses.astype("float32")
        norms = np.linalg.norm(j, axis=1)
        total, stepped = 0.0, []
        for variable, part in zip(
            self.variables, (j[:, :4].reshape(3, 2, 2), j[:, 4:]), strict=True
        ):
            memory = self.made.memory(variable)
            seen = self.made.follow(part, memory.value, norms, losses)
            there = np.reshape(present, (3, *[1] * (part.ndim - 1)))
            memory.assign(np.where(there, seen.kept, memory.numpy()))
            flat = np.asarray(seen.measured).reshape(3, -1) * np.reshape(present, (3, 1))
            total = total + flat @ flat.T
            stepped.append(np.asarray(seen.stepped).reshape(3, -1))
        weights = np.asarray(self.made.weigh(ops.convert_to_tensor(total), losses, present))
        return weights, weights @ np.concatenate(stepped, axis=1)


def test_moco_is_algorithm_1_of_the_paper():
    made = Followed(balancing.MoCo(beta=0.5, gamma=0.2, rho=0.05))
    y, shares = np.zeros((3, 10)), np.full(3, 1 / 3)
    for t, (j, losses) in enumerate(steps(), 1):
        h = j / np.linalg.norm(j, axis=1, keepdims=True) * losses[:, None]
        y = y - 0.5 / t**0.5 * (y - h)
        shares = on_simplex(shares - 0.2 / t**0.5 * (y @ y.T @ shares + 0.05 * shares))
        weights, step = made.step(j, losses)
        np.testing.assert_allclose(weights, shares, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(step, shares @ y, rtol=1e-3, atol=1e-5)


def test_db_mtl_is_algorithm_1_of_the_paper():
    made = Followed(balancing.DBMTL(beta=0.9, decay=0.5))
    mean = np.zeros((3, 10))
    for t, (j, losses) in enumerate(steps(), 1):
        stays = 0.9 / t**0.5
        mean = stays * mean + (1 - stays) * j
        norms = np.linalg.norm(mean, axis=1)
        weights, step = made.step(j, losses)
        np.testing.assert_allclose(weights, norms.max() / norms, rtol=1e-3)
        np.testing.assert_allclose(step, (norms.max() / norms) @ mean, rtol=1e-3, atol=1e-4)
    surrogate = made.made.differentiated([4.0, 9.0, 1.0], np.array([2.0, 3.0, 1.0]), HERE)
    np.testing.assert_allclose(np.array(surrogate, "float32"), [2, 3, 1], rtol=1e-5)


def test_excess_mtl_is_algorithm_1_of_the_paper():
    made = Followed(balancing.ExcessMTL(rate=0.1))
    summed, weights, first = 0.0, np.ones(3), None
    for j, losses in steps():
        summed = summed + j**2
        excess = (j**2 / np.sqrt(summed + 1e-7)).sum(1)
        if first is None:
            first = excess
        else:
            weights = weights * np.exp(0.1 * excess / first)
            weights = 3 * weights / weights.sum()
        got, step = made.step(j, losses)
        np.testing.assert_allclose(got, weights, rtol=1e-3)
        np.testing.assert_allclose(step, weights @ j, rtol=1e-3, atol=1e-4)


def test_what_is_kept_of_a_task_stays_while_it_is_absent():
    for made in (balancing.MoCo(), balancing.DBMTL(), balancing.ExcessMTL()):
        followed = Followed(made)
        (j, losses), (other, _), *_ = steps()
        followed.step(j, losses)
        before = [np.array(made.memory(v)) for v in followed.variables]
        present = np.array([True, False, True])
        weights, _ = followed.step(np.where(present[:, None], other, 0), losses, present)
        assert weights[1] == 0 and np.isfinite(weights).all()
        for variable, kept in zip(followed.variables, before, strict=True):
            now = np.array(made.memory(variable))
            np.testing.assert_array_equal(now[1], kept[1])
            assert (now[0] != kept[0]).any()


def of_parts(made, parts, losses=None, present=HERE):
    """The step of a balancer that compares parts, from the gradients of each, `(parts, K, P)`."""
    rows = np.concatenate(parts)
    losses = np.ones(len(parts[0]), "float32") if losses is None else losses
    weights = np.asarray(made.weigh(gramian(rows), losses, present))
    return weights.reshape(len(parts), -1), weights @ rows


def three(seed):
    return [j for j, _ in steps(n=3, seed=seed)]


def test_modo_is_algorithm_1_of_the_paper():
    made, shares = bound(balancing.MoDo(gamma=0.05, rho=0.2)), np.full(3, 1 / 3)
    for seed in range(4):
        one, two, third = three(seed)
        shares = on_simplex(shares - 0.05 * (one @ two.T @ shares + 0.2 * shares))
        _, step = of_parts(made, [one, two, third])
        np.testing.assert_allclose(step, shares @ third, rtol=1e-3, atol=1e-4)


def test_sdmgrad_is_algorithm_1_of_the_paper():
    made, shares = bound(balancing.SDMGrad(pull=0.3, rate=1.0, iterations=20)), np.full(3, 1 / 3)
    for seed in range(4):
        one, two, third = three(seed)
        products = one @ two.T
        products = products / np.sqrt(np.maximum(np.diag(products), 0)).mean() ** 2
        velocity = np.zeros(3)
        for _ in range(20):
            velocity = 0.5 * velocity + products @ (shares + 0.1)
            shares = on_simplex(shares - velocity)
        _, step = of_parts(made, [one, two, third])
        expected = (shares + 0.1) / 1.3 @ third
        np.testing.assert_allclose(step, expected, rtol=2e-3, atol=1e-3)


def test_auto_lambda_descends_the_held_out_loss_of_a_virtual_step():
    """The slope by the weights of L_val(x - a sum_i w_i g_i), by finite differences on quadratics."""
    rng = np.random.default_rng(0)
    x, ends = rng.normal(size=5), rng.normal(size=(2, 3, 5))
    trained, held = x - ends[0], x - ends[1]

    def held_out(weights, a=1e-4):
        moved = x - a * weights @ trained
        return np.square(moved - ends[1][[0, 2]]).sum() / 2 / a

    eps = np.eye(3) * 1e-3
    weights = np.full(3, 0.1)
    slopes = [(held_out(weights + e) - held_out(weights - e)) / 2e-3 for e in eps]
    oracle = Torch(weights, 0.01)
    oracle.step(np.array(slopes))
    made = bound(balancing.AutoLambda(primary=["t0", "t2"], learning_rate=0.01))
    got, step = of_parts(made, [trained, held])
    np.testing.assert_allclose(got, [oracle.value, np.zeros(3)], rtol=1e-4)
    np.testing.assert_allclose(step, oracle.value @ trained, rtol=1e-4)
    # Adam's first step has one size whatever the slope; its moment has the slope itself.
    np.testing.assert_allclose(made.lambdas.first, 0.1 * np.array(slopes), rtol=1e-2)


def test_forum_is_algorithm_1_of_the_paper_to_first_order():
    phi, eta = 0.3, 0.1
    made = bound(balancing.FORUM(phi=phi, inner_rate=eta, learning_rate=0.01))
    logits, mean = Torch(np.zeros(3), 0.01), None
    for seed in range(4):
        trained, held, _ = three(seed)
        held = held / np.linalg.norm(held, axis=1, keepdims=True)
        shares = softmax(logits.value)
        fall = eta * trained @ (shares @ trained)
        q = np.concatenate([(np.diag(shares) - np.outer(shares, shares)) @ fall, shares @ trained])
        f = np.concatenate([np.zeros((3, 3)), held], axis=1)
        wanted = phi - f @ q / (q @ q)

        def stated(w, f=f, q=q, wanted=wanted):
            force = max(0.0, w @ wanted)
            return np.square(w @ f + force * q).sum() - force * phi * (q @ q)

        grid = [np.array([a, b, 1 - a - b]) for a in np.linspace(0, 1, 101)
                for b in np.linspace(0, 1 - a, 101)]  # fmt: skip
        found = min(grid, key=stated)
        sums = {"type": "eq", "fun": lambda w: w.sum() - 1}
        found = minimize(stated, found, bounds=[(0, 1)] * 3, constraints=sums, method="SLSQP",
                         options={"ftol": 1e-12}).x  # fmt: skip
        mean = found  # in the first epoch the newest counts alone
        force = max(0.0, mean @ wanted)
        logits.step(force * q[:3])
        got, step = of_parts(made, [trained, held])
        ours = got[1] * 1.0
        assert stated(ours) <= stated(found) + 1e-3 * (1 + abs(stated(found)))
        np.testing.assert_allclose(
            step, mean @ held + force * shares @ trained, rtol=2e-2, atol=2e-2
        )
    made.on_epoch_end()
    before = np.array(made.mean)
    of_parts(made, three(9)[:2])
    rate = 2**-0.75
    moved = np.array(made.mean) - before
    assert 0 < np.abs(moved).max() <= rate + 1e-6


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "aligned_mtl"])
def test_a_preference_counts_as_often_as_it_says(name):
    """A task that counts twice is a task that is there twice."""
    j = jacobians(2)["random"]
    made = type(balancing.get(name))(preference={"t0": 2.0})
    made.bind(["t0", "t1"])
    got = np.asarray(made.weigh(gramian(j), np.ones(2, "float32"), np.ones(2, bool))) @ j
    if name == "aligned_mtl":
        values, vectors = np.linalg.eigh(gramian(j).astype("float64"))
        root = vectors @ np.diag(values**-0.5) @ vectors.T * np.sqrt(values[0])
        expected = root @ np.array([2 / 3, 1 / 3]) @ j
    else:
        thrice = balancing.get(name)
        thrice.bind(["a", "b", "c"])
        more = j[[0, 0, 1]]
        expected = (
            np.asarray(thrice.weigh(gramian(more), np.ones(3, "float32"), np.ones(3, bool))) @ more
        )
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1e-3)
    with pytest.raises(ValueError, match="`preference` of task 't0' is -1"):
        type(balancing.get(name))(preference={"t0": -1})

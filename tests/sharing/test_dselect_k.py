"""DSelect-k: the smooth step and the codes by hand, and gates that end at k experts exactly."""

import keras
import numpy as np
import pytest

from keras_mtl.sharing.dselect_k import (
    DSelectK,
    entropy_of,
    single_experts,
    smooth_step,
    unreachable,
    whole,
)
from tests.sharing._scheme_checks import NAMES, connected


def test_the_smooth_step_by_hand():
    t = np.array([-9, -0.5, -0.25, 0, 0.25, 0.5, 9], "float32")
    # At 1/4: -2/64 + 3/8 + 1/2.
    expected = [0, 0, 0.15625, 0.5, 0.84375, 1, 1]
    np.testing.assert_array_equal(smooth_step(t), expected)
    np.testing.assert_array_equal(smooth_step(4 * t, gamma=4.0), expected)


def test_a_selector_gives_each_expert_the_product_of_its_digits():
    given = single_experts(np.array([0.25, 0.9], "float32"), 4)  # Lowest digit first.
    np.testing.assert_allclose(given, [0.75 * 0.1, 0.25 * 0.1, 0.75 * 0.9, 0.25 * 0.9], rtol=1e-5)
    np.testing.assert_allclose(single_experts(np.array([0.25, 0.9], "float32"), 3), given[:3])
    np.testing.assert_array_equal(single_experts(np.zeros((5, 0), "float32"), 1), np.ones((5, 1)))
    for e in range(8):
        digits = np.array([e & 1, e >> 1 & 1, e >> 2 & 1], "float32")
        np.testing.assert_array_equal(single_experts(digits, 8), np.eye(8)[e])


def test_losses_of_selectors_by_hand():
    np.testing.assert_allclose(
        entropy_of(np.full((2, 4), 0.25, "float32")), np.log([4, 4]), rtol=1e-6
    )
    np.testing.assert_array_equal(entropy_of(np.eye(4, dtype="float32")), np.zeros(4))
    np.testing.assert_allclose(
        unreachable(np.full((2, 3), 0.25, "float32")), [1 / 3, 1 / 3], rtol=1e-6
    )
    np.testing.assert_array_equal(unreachable(np.eye(3, dtype="float32")), np.zeros(3))
    # At 0 the tangent from 0.01: 100 - 1 + 0.01 * 100^2.
    np.testing.assert_allclose(unreachable(np.array([[0.01, 0], [0, 0]], "float32")), [99, 199])


def test_gates_sum_to_one_even_if_their_selectors_end_at_no_expert():
    gates = np.array([[0.5, 0.25, 0], [0, 0, 0], [0, 0.01, 0]], "float32")
    expected = [[2 / 3, 1 / 3, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]
    np.testing.assert_allclose(whole(gates), expected, rtol=1e-5)


def selected(scheme, experts):
    """Sets the selectors of a static scheme to these experts, `(K, k)`, with logits 0, 1, ..."""
    for variable, chosen in zip(scheme.selectors, experts, strict=True):
        logits = np.zeros(variable.shape)
        for j in range(logits.shape[-1] - 1):
            logits[:, j] = np.where(np.array(chosen) >> j & 1, 0.7, -0.5)
        logits[:, -1] = np.arange(scheme.k)
        variable.assign(logits)


@pytest.mark.parametrize("count", [4, 5])
def test_saturated_selectors_take_k_experts_exactly_and_cost_nothing(count, rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = DSelectK(count, 2, units=(5,), static=True)
    connected(scheme, x)
    selected(scheme, [[0, 3], [4 % count, 1], [2, 2]])
    share = 1 / (1 + np.exp(1))
    expected = np.zeros((3, count))
    expected[[0, 0, 1, 1, 2], [0, 3, 4 % count, 1, 2]] = [share, 1 - share, share, 1 - share, 1]
    out = scheme(x, training=True)
    assert sum(float(loss) for loss in scheme.losses) == 0
    experts = np.asarray(scheme.bank(x))
    for k, name in enumerate(NAMES):
        gates = np.asarray(scheme.gates(x)[name])
        np.testing.assert_array_equal(gates != 0, np.broadcast_to(expected[k] != 0, (6, count)))
        np.testing.assert_allclose(gates, np.broadcast_to(expected[k], (6, count)), rtol=1e-5)
        mixture = np.einsum("e,neu->nu", expected[k], experts)
        np.testing.assert_allclose(out[name], mixture, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("static", [False, True])
def test_undecided_selectors_cost_the_entropy_of_all_experts(static, rng):
    x = (1e-3 * rng.normal(size=(6, 4))).astype("float32")
    scheme = DSelectK(4, 2, units=(5,), entropy=0.1, static=static)
    connected(scheme, x)
    scheme(x, training=True)
    (loss,) = scheme.losses
    assert float(loss) == pytest.approx(0.1 * 3 * 2 * np.log(4), rel=1e-2)
    scheme(x)
    assert not scheme.losses


def test_where_experts_are_no_power_of_two_the_numbers_of_none_cost(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = DSelectK(3, 2, units=(5,), entropy=0.0, static=True)
    connected(scheme, x)
    for variable in scheme.selectors:
        variable.assign(np.zeros((2, 3)))
    scheme(x, training=True)
    (loss,) = scheme.losses  # Each of 3 * 2 selectors keeps 3/4.
    assert float(loss) == pytest.approx(6 * (4 / 3 - 1), rel=1e-5)
    for gates in scheme.gates(x).values():
        np.testing.assert_allclose(gates, np.full((6, 3), 1 / 3), rtol=1e-5)


def steps(model, x, y, count):
    """So many steps on these rows."""
    tiled = {name: np.concatenate([labels] * count) for name, labels in y.items()}
    model.fit(np.concatenate([x] * count), tiled, batch_size=len(x), shuffle=False, verbose=0)


@pytest.mark.parametrize("count", [4, 5])
def test_training_drives_the_gates_to_k_experts(count, rng):
    """Every selector ends at one expert, exactly, and its losses at 0."""
    x = rng.normal(size=(64, 4)).astype("float32")
    y = {"a": x @ rng.normal(size=(4, 3)), "b": np.sin(x @ rng.normal(size=(4, 3)))}
    inputs = keras.Input((4,))
    scheme = DSelectK(count, 2, units=(8, 3), activation="tanh", entropy=0.1, static=True)
    model = keras.Model(inputs, scheme.connect(inputs, ["a", "b"]))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    assert all((np.asarray(g) > 0).all() for g in scheme.gates(x).values())
    before = model.evaluate(x, y, verbose=0)
    steps(model, x, y, 150)
    assert model.evaluate(x, y, verbose=0) < before
    for gates in scheme.gates(x).values():
        assert 1 <= np.count_nonzero(gates[0]) <= 2
        np.testing.assert_allclose(np.sum(gates[0]), 1, rtol=1e-6)
    model(x, training=True)
    assert sum(float(loss) for loss in scheme.losses) == 0


def test_rows_can_end_at_different_experts(rng):
    """Two kinds of rows with opposite answers: a selector that reads them takes two experts."""
    sign = np.repeat([-1.0, 1.0], 32)[:, None].astype("float32")
    inputs = keras.Input((1,))
    scheme = DSelectK(2, 1, units=(1,), activation="linear", entropy=0.01)
    model = keras.Model(inputs, scheme.connect(inputs, ["a"]))
    scheme.bank.set_weights([np.zeros((2, 1, 1)), np.array([[1.0], [-1.0]])])
    scheme.bank.trainable = False
    model.compile(keras.optimizers.Adam(0.02), "mse")
    steps(model, sign, {"a": sign}, 200)
    expected = np.where(sign > 0, [[1, 0]], [[0, 1]])
    np.testing.assert_allclose(scheme.gates(sign)["a"], expected, atol=1e-3)

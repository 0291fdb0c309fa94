"""SparseMoE: exactly k gates a row, the load-balancing loss by hand, noise in training alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.sharing.sparse_moe import SparseMoE, imbalance, top_k_gates
from tests.sharing._scheme_checks import NAMES, connected


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(9, 6), (2, 5, 6)])
def test_exactly_k_gates_of_a_row_are_not_zero(k, shape, rng):
    x = rng.normal(size=shape).astype("float32")
    scheme = SparseMoE(4, k, units=(5,))
    out = connected(scheme, x)
    experts = np.asarray(scheme.bank(x))
    for i, name in enumerate(NAMES):
        gates = np.asarray(scheme.gates(x)[name])
        logits = x @ np.asarray(scheme.routing.towers[i].kernel)
        best = logits >= np.sort(logits, axis=-1)[..., -k:][..., :1]
        np.testing.assert_array_equal(gates != 0, best)
        powers = np.where(best, np.exp(logits), 0)
        np.testing.assert_allclose(gates, powers / powers.sum(-1, keepdims=True), rtol=1e-4)
        mixture = np.einsum("...e,...eu->...u", gates, experts)
        np.testing.assert_allclose(out[name], mixture, rtol=1e-4, atol=1e-6)


def test_of_equal_logits_still_k_are_taken():
    gates, chosen = top_k_gates(np.zeros((3, 4), "float32"), 2)
    np.testing.assert_array_equal(gates, np.repeat([[0.5, 0.5, 0, 0]], 3, 0))
    np.testing.assert_array_equal(chosen, np.repeat([[1, 1, 0, 0]], 3, 0))


def test_a_single_gate_is_one_and_learns_as_the_log_of_its_probability(rng):
    logits = tf.constant(rng.normal(size=(5, 4)), "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        gates = top_k_gates(logits, 1)[0]
        told = tf.reduce_sum(gates)
        expected = tf.reduce_sum(tf.reduce_max(tf.nn.log_softmax(logits), axis=-1))
    np.testing.assert_array_equal(gates, np.eye(4)[np.argmax(logits, axis=-1)])
    np.testing.assert_allclose(
        tape.gradient(told, logits), tape.gradient(expected, logits), rtol=1e-4, atol=1e-6
    )


def routed(scheme, x, kernel, mask=None):
    """The load-balancing loss with this kernel of the gates, `(K, d, E)`."""
    connected(scheme, x)
    scheme.routing.set_weights(list(kernel))
    scheme(x, training=True, mask=mask)
    (loss,) = scheme.losses
    return float(loss)


def test_the_load_costs_least_where_it_is_uniform_and_more_where_it_collapses():
    x = np.eye(4, dtype="float32").repeat(2, axis=0)
    one, all_first = np.eye(4), np.zeros((4, 4))
    all_first[:, 0] = 1.0
    scheme = SparseMoE(4, 1, units=(5,), balance=0.25)
    for sharpness in (0.1, 1.0, 30.0):
        uniform = routed(scheme, x, np.stack([sharpness * one] * 3))
        assert uniform == pytest.approx(0.25, rel=1e-5)
        share = np.exp(sharpness) / (np.exp(sharpness) + 3)
        collapsed = routed(scheme, x, np.stack([sharpness * all_first] * 3))
        assert collapsed == pytest.approx(0.25 * 4 * share, rel=1e-5) and collapsed > uniform
    scheme(x)
    assert not scheme.losses


def test_tasks_may_prefer_different_experts_as_long_as_none_is_idle():
    x = np.ones((6, 1), "float32")
    apart = 30 * np.eye(3)[:, None, :]  # Each task has an expert for itself.
    assert routed(SparseMoE(3, 1, units=(5,), balance=1.0), x, apart) == pytest.approx(1.0)
    alike = 30 * np.eye(3)[[0, 0, 0]][:, None, :]
    assert routed(SparseMoE(3, 1, units=(5,), balance=1.0), x, alike) == pytest.approx(3.0)


def test_the_imbalance_by_hand():
    half, even = np.array([0.5, 0.5, 0, 0], "float32"), np.full(4, 0.25, "float32")
    assert float(imbalance(half, half)) == 2.0  # Two choices a row, always the same.
    assert float(imbalance(half, even)) == float(imbalance(even, half)) == 1.0


def test_padding_is_no_load():
    x = np.eye(2, dtype="float32")[[[0, 0, 0], [1, 0, 0]]]
    mask = np.array([[True, False, False], [True, False, False]])
    kernel = np.stack([9 * np.eye(2)] * 3)
    scheme = SparseMoE(2, 1, units=(5,), balance=1.0)
    assert routed(scheme, x, kernel, mask) == pytest.approx(1.0, rel=1e-5)
    assert routed(scheme, x, kernel) > 1.2


def test_noise_is_of_training_alone_and_begins_alike_for_all_experts():
    """Logits that are 0 leave the choice to the noise: each expert is taken as often."""
    x = np.zeros((4000, 2), "float32")
    scheme = SparseMoE(4, 1, units=(1,), noisy=True, balance=0.0)
    served = connected(scheme, x)
    for name, out in connected(scheme, x).items():
        np.testing.assert_array_equal(out, served[name])
    scheme.bank.hidden[0].bias.assign(np.arange(1.0, 5.0)[:, None])
    one, two = (np.asarray(scheme(x, training=True)["a"])[:, 0] for _ in range(2))
    counts = [np.count_nonzero(np.isclose(one, e)) for e in range(1, 5)]
    assert sum(counts) == 4000
    assert np.square(np.array(counts) / 1000 - 1).sum() * 1000 < 16  # chi-square with 3 degrees
    assert np.mean(np.isclose(one, two)) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("k", [1, 2])
def test_balance_spreads_what_has_collapsed(k, rng):
    x = np.abs(rng.normal(size=(64, 4))).astype("float32")
    inputs = keras.Input((4,))
    scheme = SparseMoE(4, k, units=(3,), balance=1.0, noisy=True)
    model = keras.Model(inputs, scheme.connect(inputs, ["a", "b"]))
    scheme.routing.set_weights([np.array([[1.0, 0.0, 0.0, 0.0]] * 4)] * 2)

    def load():
        model(x, training=True)
        return float(scheme.losses[0])

    assert load() > 0.8 * 4 / k  # Of 4 / k at most.
    model.compile(keras.optimizers.Adam(0.05), "mse")
    rows = np.tile(x, (60, 1))
    zeros = np.zeros((len(rows), 3))
    model.fit(rows, {"a": zeros, "b": zeros}, batch_size=64, verbose=0)
    assert load() < 1.1

"""MMoE: its formula, and hard sharing as the case of one expert."""

import keras
import numpy as np

from keras_mtl.sharing.mmoe import MMoE
from tests.sharing._scheme_checks import NAMES, connected, relu


def shares(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_the_formula_of_the_paper(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = MMoE(3, units=(8, 5))
    connected(scheme, x)
    scheme.set_weights([rng.normal(size=w.shape) for w in scheme.get_weights()])
    out, gates = connected(scheme, x), scheme.gates(x)
    first, second = scheme.bank.hidden
    experts = []
    for e in range(3):
        hidden = relu(x @ np.asarray(first.kernel)[e] + np.asarray(first.bias)[e])
        experts.append(relu(hidden @ np.asarray(second.kernel)[e] + np.asarray(second.bias)[e]))
    for k, name in enumerate(NAMES):
        gate = shares(x @ np.asarray(scheme.gating.towers[k].kernel))
        np.testing.assert_allclose(gates[name], gate, rtol=1e-4)
        expected = sum(gate[:, e : e + 1] * experts[e] for e in range(3))
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-5)


def test_one_expert_is_hard_sharing_through_that_expert(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = MMoE(1, units=(8,))
    out = connected(scheme, x)
    trunk = keras.layers.Dense(8, activation="relu")
    trunk.build((None, 4))
    trunk.set_weights([w[0] for w in scheme.bank.get_weights()])
    for name in NAMES:
        np.testing.assert_array_equal(scheme.gates(x)[name], np.ones((6, 1)))
        np.testing.assert_allclose(out[name], trunk(x), rtol=1e-5, atol=1e-7)


def test_gates_that_do_not_read_give_the_mean_of_the_experts(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = MMoE(4, units=(8,))
    connected(scheme, x)
    scheme.gating.set_weights([np.zeros((4, 4))] * 3)
    out = connected(scheme, x)
    mean = np.mean(scheme.bank(x), axis=1)
    for name in NAMES:
        np.testing.assert_array_equal(scheme.gates(x)[name], np.full((6, 4), 0.25))
        np.testing.assert_allclose(out[name], mean, rtol=1e-5, atol=1e-6)


def test_an_expert_that_no_gate_takes_has_no_gradient(rng):
    """The gates are all that ties a task to an expert."""
    x = np.abs(rng.normal(size=(6, 4))).astype("float32") + 1
    inputs = keras.Input((4,))
    scheme = MMoE(2, units=(8,))
    model = keras.Model(inputs, scheme.connect(inputs, ["a", "b"]))
    # All for the first expert, by e^400 and more.
    scheme.gating.set_weights([np.array([[100.0, 0.0]] * 4)] * 2)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = np.asarray(scheme.bank.hidden[0].kernel)
    model.train_on_batch(x, {"a": np.ones((6, 8)), "b": np.ones((6, 8))})
    after = np.asarray(scheme.bank.hidden[0].kernel)
    np.testing.assert_array_equal(after[1], before[1])
    assert (after[0] != before[0]).any()

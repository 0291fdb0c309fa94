"""PLE: its formula over two levels, CGC as the case of one, and what flows from level to level."""

import numpy as np
import pytest

from keras_mtl.sharing.cgc import CGC
from keras_mtl.sharing.ple import PLE
from tests.sharing._scheme_checks import NAMES, connected, relu


def shares(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def weighted(gate, experts):
    assert gate.shape[1] == len(experts)
    return sum(gate[:, e : e + 1] * expert for e, expert in enumerate(experts))


def level_by_hand(level, own, common):
    """Equations 1 to 6 of the paper: `own` a list of K features, `common` the shared ones."""

    def expert(bank, e, features):
        (layer,) = bank.hidden
        return relu(features @ np.asarray(layer.kernel)[e] + np.asarray(layer.bias)[e])

    def gate(router, features):
        return shares(features @ np.asarray(router.kernel))

    shared = [expert(level.shared_experts, h, common) for h in range(level.shared)]
    specific = [
        [expert(level.own_experts[k], s, x) for s in range(level.specific)]
        for k, x in enumerate(own)
    ]
    gates = [gate(level.gates.towers[k], x) for k, x in enumerate(own)]
    mixtures = [weighted(g, mine + shared) for g, mine in zip(gates, specific, strict=True)]
    if not level.last:
        everyone = [e for mine in specific for e in mine] + shared
        common = weighted(gate(level.shared_gate.towers[0], common), everyone)
    return mixtures, common, gates


@pytest.mark.parametrize(("levels", "specific", "shared"), [(1, 2, 2), (2, 2, 1), (3, 1, 2)])
def test_the_formula_of_the_paper(levels, specific, shared, rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = PLE(levels, specific, shared, units=(5,))
    connected(scheme, x)
    scheme.set_weights([rng.normal(size=w.shape) for w in scheme.get_weights()])
    own, common = [x] * 3, x
    for level in scheme.extractions:
        own, common, gates = level_by_hand(level, own, common)
    out, told = connected(scheme, x), scheme.gates(x)
    for k, name in enumerate(NAMES):
        np.testing.assert_allclose(out[name], own[k], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(told[name], gates[k], rtol=2e-3, atol=1e-5)


def test_one_level_is_cgc(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    ple, cgc = PLE(1, 2, 1, units=(8, 5)), CGC(2, 1, units=(8, 5))
    connected(ple, x), connected(cgc, x)
    ple.set_weights(cgc.get_weights())
    expected = connected(cgc, x)
    for name, out in connected(ple, x).items():
        np.testing.assert_array_equal(out, expected[name])


@pytest.mark.parametrize("level", range(2))
def test_experts_of_another_task_reach_a_task_through_shared_features_alone(level, rng):
    """Those of the first level do, by the shared gate; those of the last do not."""
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = PLE(2, 1, 1, units=(16,), activation="tanh")
    before = connected(scheme, x)
    scheme.extractions[level].own_experts[0].hidden[0].bias.assign(np.full((1, 16), 0.5))
    after = connected(scheme, x)
    assert (after["a"] != before["a"]).any()
    for name in ("b", "c"):
        assert (after[name] != before[name]).any() == (level == 0)


def test_the_last_level_has_no_shared_gate(rng):
    scheme = PLE(3, 1, 1, units=(5,))
    connected(scheme, rng.normal(size=(6, 4)).astype("float32"))
    assert sum("shared_gate" in v.path for v in scheme.weights) == 2
